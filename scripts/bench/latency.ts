import { claudeByHand } from './by-hand.ts';
import { createBenchClient } from './client.ts';
import { type Section, type Setting, timed } from './setting.ts';
import { median, summary } from './statistics.ts';

const PROMPT = 'Say it. [[reply: it]]';
const ANSWER = 'it';
const WARM_UPS = 3;

/** One `claude -p` started by hand against the same prompt through Bullpen, in pairs. */
export async function measureLatency(setting: Setting): Promise<Section> {
  const pairs = setting.quick ? 4 : 15;
  await using server = await setting.server();
  using client = createBenchClient(server);
  const hand = () => timed(() => claudeByHand(PROMPT, ANSWER, setting.workspace, setting.env));
  const bullpen = () => timed(() => client.run(PROMPT, ANSWER));

  for (let index = 0; index < WARM_UPS; index += 1) {
    await hand();
    await bullpen();
  }
  const byHand: number[] = [];
  const through: number[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    // Whoever is second may find warmer caches: take turns.
    if (pair % 2 === 0) {
      byHand.push(await hand());
      through.push(await bullpen());
    } else {
      through.push(await bullpen());
      byHand.push(await hand());
    }
    setting.log(
      `pair ${pair + 1} of ${pairs}: by hand ${byHand.at(-1)?.toFixed(0)} ms, Bullpen ${through.at(-1)?.toFixed(0)} ms`,
    );
  }
  const ratios = through.map((value, index) => value / (byHand[index] ?? Number.NaN));
  return {
    title: `One prompt, claude -p by hand against POST /v1/jobs?wait (${pairs} pairs)`,
    rows: [
      { name: 'by hand, median', value: median(byHand), unit: 'ms' },
      { name: 'Bullpen, median', value: median(through), unit: 'ms' },
      {
        name: 'ratio, median of the pairs',
        value: median(ratios),
        unit: '',
        goal: { relation: '≤', value: 1.05 },
      },
      {
        name: 'ratio of the medians',
        value: median(through) / median(byHand),
        unit: '',
        goal: { relation: '≤', value: 1.05 },
      },
    ],
    data: { pairs, byHandMs: byHand, bullpenMs: through, ratios: summary(ratios) },
  };
}
