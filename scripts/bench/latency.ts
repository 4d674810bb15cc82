import { setTimeout as delay } from 'node:timers/promises';
import { startSdkLoop } from './agent-sdk.ts';
import { startByHand } from './by-hand.ts';
import { line, ratio, type Samples, sample, turns } from './comparison.ts';
import type { Section, Setting } from './setting.ts';
import { handRunner, missingWays, type Runner, sdkRunner, startBullpen, type Took } from './ways.ts';

/** Before every prompt, whoever runs it: a warm process needs about a second here to be ready for the next one. */
const PAUSE_MS = 2000;
const QUICK_PAUSE_MS = 1200;

/** A lone prompt: until its answer is there, and until its first text is; all ways in turns, with a pause before each. */
export async function measureLatency(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 10;
  const pauseMs = setting.quick ? QUICK_PAUSE_MS : PAUSE_MS;
  using hand = startByHand(setting);
  using sdk = startSdkLoop(setting);
  await using cold = await startBullpen(setting, 'cold');
  await using warm = await startBullpen(setting, 'warm');
  await using session = await startBullpen(setting, 'session');
  const runners: Runner[] = [
    handRunner(hand),
    ...(sdk === null ? [] : [sdkRunner(sdk)]),
    cold,
    warm,
    session,
  ];
  const questions = runners.flatMap(({ way, answer, firstText }) =>
    [answer, ...(firstText === null ? [] : [firstText])].map((ask) => ({ way, ask })),
  );
  for (const { ask } of questions) await ask(); // a first time reads files and compiles code

  const answerMs: Samples = {};
  const firstMs: Samples = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const { way, ask } of turns(questions, round)) {
      await delay(pauseMs);
      const took: Took = await ask();
      if (took.answerMs !== undefined) sample(answerMs, way, took.answerMs);
      if (took.firstMs !== undefined) sample(firstMs, way, took.firstMs);
    }
    const said = runners.map(({ way }) => `${way} ${answerMs[way]?.at(-1)?.toFixed(0)}`).join(', ');
    setting.log(`round ${round + 1} of ${rounds}: ${said} ms`);
  }
  const missing = missingWays(setting);
  const answers = line('whole answer', 'ms', answerMs, missing);
  const first = line('first text', 'ms', firstMs, missing);
  return {
    title: `One prompt alone (in turns, rounds: ${rounds}; ${pauseMs / 1000} s of pause before each prompt)`,
    lines: [answers, first],
    rows: [
      ...ratio(answers, 'warm', 'hand', { name: 'warm / by hand', goal: { relation: '≤', value: 0.25 } }),
      ...ratio(answers, 'warm', 'sdk', { name: 'warm / Agent SDK', goal: { relation: '≤', value: 0.3 } }),
      ...ratio(answers, 'session', 'hand', {
        name: 'session / by hand',
        goal: { relation: '≤', value: 0.1 },
      }),
      ...ratio(answers, 'cold', 'hand', { name: 'cold / by hand' }),
      ...ratio(first, 'warm', 'hand', { name: 'first text: warm / by hand' }),
      ...ratio(first, 'session', 'hand', { name: 'first text: session / by hand' }),
    ],
    notes: [
      'All sides run the same claude binary with the same arguments, environment and HOME; the Agent SDK is given its path instead of the CLI it brings along.',
      'The answer is there: by hand when the process has ended, for the Agent SDK with the result message, for Bullpen when POST /v1/jobs?wait has answered.',
      'Session: turns of one conversation from the third on.',
    ],
    data: { rounds, pauseMs, answerMs, firstMs },
  };
}
