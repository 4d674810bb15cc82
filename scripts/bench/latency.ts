import { setTimeout as delay } from 'node:timers/promises';
import { startAgentSdk } from './agent-sdk.ts';
import { startByHand } from './by-hand.ts';
import { added, addSample, line, ratio, type Samples, type Section } from './results.ts';
import type { Setting } from './setting.ts';
import { median, rounded, turns } from './statistics.ts';
import { bareRunner, bareTurnRunner, handRunner, sdkRunner, startBullpen } from './ways.ts';

/** Before every prompt. An idle process needs about a second to be ready again. */
const PAUSE_MS = 1500;
const ROUNDS_PER_BLOCK = 3;

/**
 * A lone prompt, until its whole answer and until its first text. The ways take turns, with a pause
 * before each.
 */
export async function measureLatency(setting: Setting): Promise<Section> {
  const blocks = setting.quick ? 1 : 5;
  const rounds = setting.quick ? 1 : blocks * ROUNDS_PER_BLOCK;
  using hand = startByHand(setting);
  const sdk = await startAgentSdk(setting);
  using agent = typeof sdk === 'string' ? null : sdk;
  await using cold = await startBullpen(setting, 'cold');
  await using warm = await startBullpen(setting, 'warm');
  await using session = await startBullpen(setting, 'session');
  const runners = [
    handRunner(hand),
    cold,
    await bareRunner(hand),
    ...(agent === null ? [] : [await sdkRunner(agent, 'startup'), await sdkRunner(agent, 'prewarm')]),
    warm,
    await bareTurnRunner(hand),
    session,
  ];
  const questions = runners.flatMap(({ way, answer, firstText }) =>
    [answer, ...(firstText === null ? [] : [firstText])].map((ask) => ({ way, ask })),
  );
  for (const { ask } of questions) await ask(); // the first time reads files and compiles code

  const answerMs: Samples = {};
  const firstMs: Samples = {};
  const exitMs: number[] = [];
  const blockMs: Samples[] = Array.from({ length: blocks }, () => ({}));
  for (let round = 0; round < rounds; round += 1) {
    const block = blockMs[Math.floor((round * blocks) / rounds)] ?? {};
    for (const { way, ask } of turns(questions, round)) {
      await delay(PAUSE_MS);
      const took = await ask();
      if (took.firstMs !== undefined) addSample(firstMs, way, took.firstMs);
      if (took.exitMs !== undefined) exitMs.push(took.exitMs);
      if (took.answerMs === undefined) continue;
      addSample(answerMs, way, took.answerMs);
      addSample(block, way, took.answerMs);
    }
    const latest = runners.map(({ way }) => `${way} ${answerMs[way]?.at(-1)?.toFixed(0)}`).join(', ');
    setting.log(`round ${round + 1} of ${rounds}: ${latest} ms`);
  }
  const answers = line('whole answer', 'ms', answerMs);
  return {
    title: `One prompt alone (${blocks} blocks, ${rounds} rounds in turns, ${PAUSE_MS / 1000} s pause before each prompt)`,
    lines: [answers, line('first text', 'ms', firstMs)],
    rows: [
      ...ratio(answers, 'cold', 'hand', 'cold / by hand'),
      ...ratio(answers, 'warm', 'hand', 'warm / by hand'),
      ...ratio(answers, 'session', 'hand', 'next turn of a session / by hand'),
      ...added(blockMs, 'warm', 'bare', 'Bullpen adds to a bare warm process', 'ms'),
      ...added(blockMs, 'session', 'turn', 'Bullpen adds to a bare next turn', 'ms'),
      ...added(blockMs, 'warm', 'startup', 'Bullpen warm against startup()', 'ms'),
      ...added(blockMs, 'warm', 'prewarm', 'Bullpen warm against prewarm() and claim()', 'ms'),
      {
        name: 'a bare warm process, from its result to its exit',
        value: rounded(median(exitMs)),
        unit: 'ms',
      },
    ],
    notes: typeof sdk === 'string' ? [sdk] : [],
  };
}
