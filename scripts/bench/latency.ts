import { setTimeout as delay } from 'node:timers/promises';
import { startByHand } from './by-hand.ts';
import { addSample, line, ratio, type Samples, type Section } from './results.ts';
import type { Setting } from './setting.ts';
import { turns } from './statistics.ts';
import { handRunner, type Runner, startBullpen } from './ways.ts';

/** Before every prompt. An idle process needs about a second to be ready again. */
const PAUSE_MS = 2000;
const QUICK_PAUSE_MS = 1200;

/**
 * A lone prompt, until its whole answer and until its first text. The ways take turns, with a pause
 * before each.
 */
export async function measureLatency(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 10;
  const pauseMs = setting.quick ? QUICK_PAUSE_MS : PAUSE_MS;
  using hand = startByHand(setting);
  await using cold = await startBullpen(setting, 'cold');
  await using warm = await startBullpen(setting, 'warm');
  await using session = await startBullpen(setting, 'session');
  const runners: Runner[] = [handRunner(hand), cold, warm, session];
  const questions = runners.flatMap(({ way, answer, firstText }) =>
    [answer, ...(firstText === null ? [] : [firstText])].map((ask) => ({ way, ask })),
  );
  for (const { ask } of questions) await ask(); // the first time reads files and compiles code

  const answerMs: Samples = {};
  const firstMs: Samples = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const { way, ask } of turns(questions, round)) {
      await delay(pauseMs);
      const took = await ask();
      if (took.answerMs !== undefined) addSample(answerMs, way, took.answerMs);
      if (took.firstMs !== undefined) addSample(firstMs, way, took.firstMs);
    }
    const latest = runners.map(({ way }) => `${way} ${answerMs[way]?.at(-1)?.toFixed(0)}`).join(', ');
    setting.log(`round ${round + 1} of ${rounds}: ${latest} ms`);
  }
  const answers = line('whole answer', 'ms', answerMs);
  const first = line('first text', 'ms', firstMs);
  return {
    title: `One prompt alone (${rounds} rounds in turns, ${pauseMs / 1000} s pause before each prompt)`,
    lines: [answers, first],
    rows: [
      ...ratio(answers, 'cold', 'hand', 'cold / by hand'),
      ...ratio(answers, 'warm', 'hand', 'warm / by hand'),
      ...ratio(answers, 'session', 'hand', 'next turn of a session / by hand'),
    ],
    notes: [],
  };
}
