import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { Exit } from '../../../src/protocol/cli.ts';
import type { Provider, Translator, Verdict } from '../../../src/providers/provider.ts';
import { randomOf } from '../../contracts/records/random.ts';
import { CUSTOM, type Dice, MADE_UP_CLIS, PROMPT_ID } from './made-up-runs.ts';

const SEEDS = Array.from({ length: 200 }, (_, seed) => seed + 1);
/** Lines that mean nothing to any provider. */
const NOISE = ['', ' ', '[debug] starting', '{"type":', 'null', '[1,2]', '{"type":"of tomorrow","n":1}'];
const EXITS: readonly Exit[] = [
  { code: 0, signal: null },
  { code: 1, signal: null },
  { code: 143, signal: null },
  { code: null, signal: 'SIGKILL' },
];

const diceOf = (seed: number): Dice => {
  const next = randomOf(seed);
  return { below: (limit) => Math.floor(next() * limit) };
};
const translatorOf = (provider: Provider): Translator =>
  provider.translator(resolvedPrompt({ provider: provider.name }), { promptId: PROMPT_ID });
function verdictOf(provider: Provider, lines: readonly (object | string)[], code: number): Verdict {
  const translator = translatorOf(provider);
  for (const line of lines) translator.line(typeof line === 'string' ? line : JSON.stringify(line));
  return translator.end({ code, signal: null }, '');
}
/** What must not change by lines that mean nothing. */
const essence = ({ text, turns, usage, error, permissionDenials }: Verdict) => ({
  text,
  turns,
  usage,
  code: error?.code ?? null,
  permissionDenials,
});

describe.each(MADE_UP_CLIS.map((cli) => [cli.provider.name, cli] as const))(
  'made-up runs of %s',
  (_, cli) => {
    const { provider } = cli;

    it('answer the prompt and use what they tell', () => {
      for (const seed of SEEDS) {
        const made = cli.run(diceOf(seed));
        const { text, error, usage } = verdictOf(provider, made.lines, made.code);
        const seen = made.failed ? text.trim().endsWith(made.text) : text === made.text;
        expect({ seed, failed: error !== null, text: seen || text }).toEqual({
          seed,
          failed: made.failed,
          text: true,
        });
        if (usage !== null) expect({ seed, ...usage }).toMatchObject({ seed, ...made.usage });
        else expect({ seed, ...made.usage }).toMatchObject({ seed, inputTokens: 0, outputTokens: 0 });
      }
    });

    it('are the same with lines between that mean nothing', () => {
      const noise = [...cli.noise, ...NOISE];
      for (const seed of SEEDS) {
        const dice = diceOf(seed);
        const made = cli.run(dice);
        const noisy: (object | string)[] = [...made.lines];
        for (let left = 1 + dice.below(6); left > 0; left -= 1) {
          noisy.splice(dice.below(noisy.length + 1), 0, noise[dice.below(noise.length)] ?? '');
        }
        expect({ seed, ...essence(verdictOf(provider, noisy, made.code)) }).toEqual({
          seed,
          ...essence(verdictOf(provider, made.lines, made.code)),
        });
      }
    });

    it('may end after any line and in any way, and say their last word once', () => {
      for (const seed of SEEDS) {
        const made = cli.run(diceOf(seed));
        const translator = translatorOf(provider);
        let done = 0;
        for (const line of ['', ...made.lines.map((one) => JSON.stringify(one))]) {
          const before = translator.done;
          translator.line(line);
          if (translator.done !== before) done += 1;
          for (const exit of EXITS) {
            const { error } = translator.end(exit, 'it broke');
            // Only an exit code that is about another turn of the CLI's is no failure of this run.
            if (error === null && exit.code !== 0)
              expect({ seed, exit, done }).toMatchObject({ exit: { code: 1 }, done: 1 });
            if (error === null && provider !== CUSTOM) expect({ seed, done }).toEqual({ seed, done: 1 });
          }
        }
        expect({ seed, done }).toEqual({ seed, done: provider === CUSTOM ? 0 : 1 });
      }
    });
  },
);
