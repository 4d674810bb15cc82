import { claudeByHand } from './by-hand.ts';
import { createBenchClient } from './client.ts';
import { type Row, repeat, type Section, type Setting } from './setting.ts';
import { median } from './statistics.ts';

const PROMPT = 'Say it. [[reply: it]]';
const ANSWER = 'it';

/** How many `claude -p` end per second, by hand and through Bullpen, in blocks that take turns. */
export async function measureThroughput(setting: Setting): Promise<Section> {
  const rows: Row[] = [];
  const data: unknown[] = [];
  for (const concurrency of [1, 2, 4]) {
    const result = await compare(setting, concurrency);
    rows.push(
      { name: `by hand, ${concurrency} at once`, value: median(result.byHand), unit: 'per s' },
      { name: `Bullpen, ${concurrency} at once`, value: median(result.bullpen), unit: 'per s' },
      {
        name: `ratio, ${concurrency} at once`,
        value: median(result.bullpen) / median(result.byHand),
        unit: '',
        goal: { relation: '≥', value: 0.95 },
      },
    );
    data.push(result);
  }
  return { title: 'Throughput of claude -p, by hand against Bullpen (medians of blocks)', rows, data };
}

async function compare(setting: Setting, concurrency: number) {
  const blocks = setting.quick ? 1 : 4;
  const perBlock = setting.quick ? 2 * concurrency : 8 * concurrency;
  await using server = await setting.server({ env: { BULLPEN_CONCURRENCY: String(concurrency) } });
  using client = createBenchClient(server);
  const hand = () => claudeByHand(PROMPT, ANSWER, setting.workspace, setting.env);
  const bullpen = () => client.run(PROMPT, ANSWER);
  // Every worker process once.
  for (const task of [hand, bullpen]) await repeat(2 * concurrency, concurrency + 1, task);

  const byHand: number[] = [];
  const through: number[] = [];
  const block = async (results: number[], task: () => Promise<void>): Promise<void> => {
    results.push((perBlock * 1000) / (await repeat(perBlock, concurrency, task)));
  };
  for (let index = 0; index < blocks; index += 1) {
    if (index % 2 === 0) await block(byHand, hand);
    await block(through, bullpen);
    if (index % 2 === 1) await block(byHand, hand);
    setting.log(
      `${concurrency} at once, block ${index + 1} of ${blocks}: by hand ${byHand.at(-1)?.toFixed(2)} per s, Bullpen ${through.at(-1)?.toFixed(2)} per s`,
    );
  }
  return { concurrency, perBlock, byHand, bullpen: through };
}
