import { setTimeout as delay } from 'node:timers/promises';
import { startByHand } from './by-hand.ts';
import { addSample, type Line, line, ratio, type Samples, type Section, type Way } from './results.ts';
import { repeat, type Setting, timed } from './setting.ts';
import { median, rounded, steadyRate, turns } from './statistics.ts';
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

/** Prompts at once on a server that has just become ready. */
const BURST = 8;

/**
 * Prompts per second when all are there from the start: the list of `xargs -P` beside Bullpen's
 * queue, in turns.
 */
export async function measureThroughput(setting: Setting): Promise<Section> {
  const blocks = setting.quick ? 1 : 5;
  const lines: Line[] = [];
  for (const plan of setting.quick ? QUICK_PLANS : PLANS) {
    const rates = await compare(setting, plan, blocks);
    lines.push(line(`${plan.concurrency} at once`, 'per s', rates));
  }
  const burst = await measureBurst(setting, blocks);
  lines.push(line(`first ${BURST} after a start`, 'per s', burst.rates));
  return {
    title: `Many prompts, a fresh process for each (${blocks} blocks in turns)`,
    lines,
    rows: [
      ...lines.flatMap((one) => ratio(one, 'warm', 'xargs', `${one.name}: warm / xargs -P`)),
      { name: 'start of a server until it is ready', value: rounded(median(burst.readyMs)), unit: 'ms' },
    ],
    notes: [
      `Bullpen's concurrency is that of xargs. The first ${BURST} are sent together when the server is ready.`,
    ],
  };
}

async function compare(setting: Setting, { concurrency, prompts }: Plan, blocks: number): Promise<Samples> {
  using hand = startByHand(setting);
  await using warm = await startBullpen(setting, 'warm', { BULLPEN_CONCURRENCY: String(concurrency) });
  const contestants: readonly { readonly way: Way; ends(count: number): Promise<readonly number[]> }[] = [
    { way: 'xargs', ends: (count) => hand.xargs(count, concurrency, PROMPT, ANSWER) },
    { way: 'warm', ends: (count) => bullpenEnds(warm, count) },
  ];
  for (const { ends } of contestants) await ends(2 * concurrency);

  const rates: Samples = {};
  for (let block = 0; block < blocks; block += 1) {
    for (const { way, ends } of turns(contestants, block)) {
      await delay(PAUSE_MS);
      addSample(rates, way, steadyRate(await ends(prompts), concurrency));
    }
    logLatest(setting, `${concurrency} at once, block ${block + 1} of ${blocks}`, rates);
  }
  return rates;
}

async function measureBurst(setting: Setting, blocks: number) {
  using hand = startByHand(setting);
  const rates: Samples = {};
  const readyMs: number[] = [];
  const add = (way: Way, tookMs: number): void => addSample(rates, way, (BURST * 1000) / tookMs);
  for (let block = 0; block < blocks; block += 1) {
    for (const way of turns(['xargs', 'warm'] as const, block)) {
      await delay(PAUSE_MS);
      if (way === 'xargs') {
        add(way, await timed(async () => void (await hand.xargs(BURST, BURST, PROMPT, ANSWER))));
        continue;
      }
      const startedAt = performance.now();
      await using server = await startBullpen(setting, way, { BULLPEN_CONCURRENCY: String(BURST) });
      readyMs.push(performance.now() - startedAt);
      add(way, await repeat(BURST, BURST, async () => void (await server.answer())));
    }
    logLatest(setting, `first ${BURST} after a start, block ${block + 1} of ${blocks}`, rates);
  }
  return { rates, readyMs };
}

function logLatest({ log }: Setting, what: string, rates: Samples): void {
  const latest = Object.entries(rates).map(([way, values]) => `${way} ${values.at(-1)?.toFixed(2)}`);
  log(`${what}: ${latest.join(', ')} per s`);
}

/** When each answer came. All prompts are sent at once. */
async function bullpenEnds(runner: BullpenRunner, count: number): Promise<readonly number[]> {
  const endedAtMs: number[] = [];
  await repeat(count, count, async () => {
    await runner.answer();
    endedAtMs.push(performance.now());
  });
  return endedAtMs;
}
