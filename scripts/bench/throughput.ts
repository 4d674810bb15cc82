import { setTimeout as delay } from 'node:timers/promises';
import { type ByHand, startByHand } from './by-hand.ts';
import { addSample, type Line, line, ratio, type Samples, type Section, type Way } from './results.ts';
import { repeat, type Setting } from './setting.ts';
import { steadyRate, turns } from './statistics.ts';
import { ANSWER, type BullpenRunner, PROMPT, startBullpen } from './ways.ts';

/** Between blocks, so that Bullpen has started its idle processes again. */
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

/**
 * Prompts per second when all are there from the start: the list of `xargs -P` beside Bullpen's
 * queue, in turns.
 */
export async function measureThroughput(setting: Setting): Promise<Section> {
  const blocks = setting.quick ? 1 : 3;
  const lines: Line[] = [];
  for (const plan of setting.quick ? QUICK_PLANS : PLANS) {
    const rates = await compare(setting, plan, blocks);
    lines.push(line(`${plan.concurrency} at once`, 'per s', rates));
  }
  return {
    title: `Many prompts, a fresh process for each (${blocks} blocks in turns)`,
    lines,
    rows: lines.flatMap((one) => ratio(one, 'warm', 'xargs', `${one.name}: warm / xargs -P`)),
    notes: [],
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
      addSample(rates, way, steadyRate(await ends(prompts), concurrency));
    }
    const latest = contestants.map(({ way }) => `${way} ${rates[way]?.at(-1)?.toFixed(2)}`).join(', ');
    setting.log(`${concurrency} at once, block ${block + 1} of ${blocks}: ${latest} per s`);
  }
  return rates;
}

const handEnds = (hand: ByHand, count: number, concurrency: number): Promise<readonly number[]> =>
  hand.xargs(count, concurrency, PROMPT, ANSWER);

/** When each answer came. All prompts are sent at once. */
async function bullpenEnds(runner: BullpenRunner, count: number): Promise<readonly number[]> {
  const endedAtMs: number[] = [];
  await repeat(count, count, async () => {
    await runner.answer();
    endedAtMs.push(performance.now());
  });
  return endedAtMs;
}
