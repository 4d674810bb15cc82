import { setTimeout as delay } from 'node:timers/promises';
import { type ByHand, startByHand } from './by-hand.ts';
import { line, ratio, type Samples, sample, turns } from './comparison.ts';
import type { Line, Row, Way } from './results.ts';
import { repeat, type Section, type Setting } from './setting.ts';
import { steadyRate } from './statistics.ts';
import { ANSWER, type BullpenRunner, PROMPT, startBullpen } from './ways.ts';

/** Between blocks: what starts processes ahead is done with it. */
const PAUSE_MS = 1500;

interface Plan {
  readonly concurrency: number;
  /** Prompts in a block; more than twice the concurrency, as the ends of a block do not count. */
  readonly prompts: number;
}
const PLANS: readonly Plan[] = [
  { concurrency: 1, prompts: 8 },
  { concurrency: 2, prompts: 14 },
  { concurrency: 4, prompts: 24 },
  { concurrency: 8, prompts: 36 },
];
const QUICK_PLANS: readonly Plan[] = [{ concurrency: 2, prompts: 8 }];

/** Prompts per second with all of them there from the start: `xargs -P` against the queue, in blocks that take turns. */
export async function measureThroughput(setting: Setting): Promise<Section> {
  const blocks = setting.quick ? 1 : 3;
  const lines: Line[] = [];
  const data: unknown[] = [];
  for (const plan of setting.quick ? QUICK_PLANS : PLANS) {
    const rates = await compare(setting, plan, blocks);
    lines.push(line(`${plan.concurrency} at once`, 'per s', rates));
    data.push({ ...plan, blocks, rates });
  }
  const ratios = lines.flatMap((one): Row[] => [
    ...ratio(one, 'warm', 'xargs', {
      name: `${one.name}: warm / xargs -P`,
      goal: { relation: '≥', value: 1 },
    }),
    ...ratio(one, 'cold', 'xargs', { name: `${one.name}: cold / xargs -P` }),
  ]);
  return {
    title: `Throughput, a fresh process per prompt (in turns, blocks: ${blocks})`,
    lines,
    rows: ratios,
    notes: [
      'All prompts of a block are there when it begins: in the list of xargs, in the queue of Bullpen.',
      'Counted from the end of the first prompts, as many as run at once, to the same number before the last: neither a head start nor free processors at the end count.',
    ],
    data,
  };
}

async function compare(setting: Setting, { concurrency, prompts }: Plan, blocks: number): Promise<Samples> {
  const env = { BULLPEN_CONCURRENCY: String(concurrency) };
  using hand = startByHand(setting);
  await using cold = await startBullpen(setting, 'cold', env);
  await using warm = await startBullpen(setting, 'warm', env);
  const contestants: readonly { readonly way: Way; ends(count: number): Promise<readonly number[]> }[] = [
    { way: 'xargs', ends: (count) => handEnds(hand, count, concurrency) },
    { way: 'cold', ends: (count) => bullpenEnds(cold, count) },
    { way: 'warm', ends: (count) => bullpenEnds(warm, count) },
  ];
  for (const { ends } of contestants) await ends(2 * concurrency);

  const rates: Samples = {};
  for (let block = 0; block < blocks; block += 1) {
    for (const { way, ends } of turns(contestants, block)) {
      await delay(PAUSE_MS);
      sample(rates, way, steadyRate(await ends(prompts), concurrency));
    }
    const said = contestants.map(({ way }) => `${way} ${rates[way]?.at(-1)?.toFixed(2)}`).join(', ');
    setting.log(`${concurrency} at once, block ${block + 1} of ${blocks}: ${said} per s`);
  }
  return rates;
}

const handEnds = (hand: ByHand, count: number, concurrency: number): Promise<readonly number[]> =>
  hand.xargs(count, concurrency, PROMPT, ANSWER);

/** When each answer came; all are asked for at once. */
async function bullpenEnds(runner: BullpenRunner, count: number): Promise<readonly number[]> {
  const endedAtMs: number[] = [];
  await repeat(count, count, async () => {
    await runner.answer();
    endedAtMs.push(performance.now());
  });
  return endedAtMs;
}
