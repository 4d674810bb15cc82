import { describe, expect, it } from 'vitest';
import { Value } from '#typebox/value';
import { wireError } from '../../../src/errors.ts';
import { eventsOf, tokensOf, verdictOf } from '../../../src/executor/bounded.ts';
import { ExecutionEvent } from '../../../src/protocol/event.ts';
import { OutcomeError, TokenCounts, Usage } from '../../../src/protocol/outcome.ts';
import type { Verdict } from '../../../src/providers/provider.ts';
import { hostileRuns } from '../../fakes/hostile-runs.ts';

/** Fixed, so that a failure is the same everywhere. */
const SEED = 20_260_301;
const RUNS = 40;
const MAX_TEXT = 50_000;
const WELL = { code: 0, signal: null };

function depthOf(value: unknown): number {
  let level = [value];
  for (let depth = 0; ; depth += 1) {
    for (const one of level) if (typeof one === 'string') expect(one.isWellFormed()).toBe(true);
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
    if (level.length === 0) return depth;
  }
}

/** It is written and read back as it is. */
function expectStorable(value: unknown): void {
  expect(depthOf(value)).toBeLessThan(600);
  const text = JSON.stringify(value);
  expect(JSON.stringify(JSON.parse(text))).toBe(text);
}

const LEFT_OUT = 'left out of the outcome, because it cannot be kept: ';
const verdict: Verdict = {
  text: 'the answer',
  structured: null,
  nativeSessionId: 's',
  turns: 1,
  usage: null,
  permissionDenials: [],
  error: null,
};
const usage: Usage = {
  inputTokens: 1,
  outputTokens: 1,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costUsd: 1,
  costBasis: 'reported',
};

describe('what a CLI says', () => {
  it(`makes no translator throw, and only events and verdicts that can be kept (${RUNS} runs of each)`, () => {
    let refused = 0;
    for (const { provider, request, lines } of hostileRuns(SEED, RUNS)) {
      const translator = provider.translator(request);
      for (const line of lines) {
        const events = eventsOf(() => translator.line(line), line, MAX_TEXT);
        for (const event of events) {
          if (event.kind === 'raw') continue;
          expect(Value.Check(ExecutionEvent, event)).toBe(true);
          expectStorable(event);
          if (event.kind === 'warning' && event.code === 'value_refused') {
            refused += 1;
            expect(event.message).toMatch(/cannot be kept: its event /); // else the translator threw
          }
        }
      }
      for (const exit of [WELL, { code: null, signal: 'SIGKILL' as const }]) {
        const end = () => translator.end(exit, 'stderr 😀'.slice(0, -1));
        expect(end).not.toThrow();
        const { verdict: kept } = verdictOf(end);
        expectStorable({ ...kept });
        if (kept.usage !== null) expectUsage(kept.usage);
        if (kept.error !== null) expect(Value.Check(OutcomeError, kept.error)).toBe(true);
        expect(kept.turns === null || (Number.isInteger(kept.turns) && kept.turns >= 0)).toBe(true);
        const { byModel, sessionTokens } = tokensOf(translator.progress);
        for (const tokens of [...Object.values(byModel), ...(sessionTokens ? [sessionTokens] : [])])
          expect(Value.Check(TokenCounts, tokens)).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(3);
  });

  function expectUsage(kept: Usage): void {
    expect(Value.Check(Usage, kept)).toBe(true);
    const { costUsd, costBasis: _, ...tokens } = kept;
    for (const figure of [...Object.values(tokens), costUsd ?? 0]) {
      expect(figure >= 0 && figure <= 1e12).toBe(true);
    }
  }

  it('loses the field that cannot be kept and no other, and says which', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(5000)}1${']'.repeat(5000)}`);
    const cases: readonly [Partial<Verdict>, Partial<Verdict>, readonly string[]][] = [
      [{ turns: 1e300 }, { turns: null }, ['turns']],
      [{ turns: -1 }, { turns: null }, ['turns']],
      [{ nativeSessionId: 'a\0b' }, { nativeSessionId: null }, ['nativeSessionId']],
      [{ nativeSessionId: 'x'.repeat(300) }, { nativeSessionId: null }, ['nativeSessionId']],
      [{ usage: { ...usage, inputTokens: -5 } }, { usage: null }, ['usage']],
      [{ usage: { ...usage, outputTokens: 1.4 } }, { usage }, []],
      [
        { usage: { ...usage, costUsd: Infinity } },
        { usage: { ...usage, costUsd: null, costBasis: 'unknown' } },
        ['usage'],
      ],
      [{ text: 'half \ud83d' }, { text: 'half \ufffd' }, []],
      [{ structured: { a: '\ud83d' } }, { structured: { a: '\ufffd' } }, []],
      [
        { error: wireError('execution.quota', 'later', 'soon') },
        { error: wireError('execution.quota', 'later', null) },
        [],
      ],
      [
        {
          permissionDenials: [
            { tool: 'Bash', input: 1 },
            { tool: 'Write', input: 'x'.repeat(2_000_000) },
          ],
        },
        {
          permissionDenials: [
            { tool: 'Bash', input: 1 },
            { tool: 'Write', input: null },
          ],
        },
        ['permissionDenials'],
      ],
    ];
    for (const [said, kept, refused] of cases) {
      expect(verdictOf(() => ({ ...verdict, ...said }))).toEqual({
        verdict: { ...verdict, ...kept },
        refused: refused.length === 0 ? null : `${LEFT_OUT}${refused.join(', ')}`,
      });
    }
    for (const structured of [deep, { a: Infinity }]) {
      const { verdict: half, refused } = verdictOf(() => ({ ...verdict, structured }));
      expect(half).toMatchObject({
        structured: null,
        text: 'the answer',
        error: { code: 'execution.bad_output' },
      });
      expect(refused).toBe(`${LEFT_OUT}structured`);
    }
  });

  it('costs its line when a translator fails, and never the job', () => {
    const fails = (): never => {
      throw new RangeError('too deep');
    };
    expect(eventsOf(fails, 'the line', MAX_TEXT)).toEqual([
      {
        kind: 'warning',
        code: 'value_refused',
        message: 'a line holds a value that cannot be kept: too deep',
      },
      { kind: 'raw', line: 'the line' },
    ]);
    expect(verdictOf(fails).verdict.error).toMatchObject({ code: 'execution.bad_output' });
  });
});
