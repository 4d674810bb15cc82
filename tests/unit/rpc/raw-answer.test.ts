import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { wireError } from '../../../src/errors.ts';
import { MAX_MESSAGE_BYTES } from '../../../src/protocol/messages.ts';
import { jobOutcome, type Outcome } from '../../../src/protocol/outcome.ts';
import { parseResponseMessage } from '../../../src/protocol/response-bell.ts';
import type { Claim } from '../../../src/records/ports.ts';
import { encode, RAW_FORMAT, RAW_ID, rawAnswer } from '../../../src/rpc/raw-requests.ts';

const claimOf = (id: unknown, format: string): Claim => ({
  jobId: 'j1',
  executionId: 'e1',
  attempt: 1,
  kind: 'raw',
  project: 'default',
  principal: 'raw',
  grant: null,
  forged: false,
  sessionId: 'j1',
  request: resolvedPrompt({ metadata: { [RAW_ID]: JSON.stringify(id), [RAW_FORMAT]: format } }),
});
const FAILED = jobOutcome('failed', wireError('execution.timed_out', 'it took too long'));
const outcomeOf = (text: string): Outcome => ({ ...FAILED, status: 'succeeded', error: null, text });
const answer = (...args: Parameters<typeof rawAnswer>): unknown => JSON.parse(rawAnswer(...args));

describe('the answer to a raw request', () => {
  it("carries the caller's id and the text", () => {
    for (const id of ['test', '', 'a"b\n', 7, -0.5]) {
      const wanted = { id, success: true, result: 'Hello' };
      expect(answer(claimOf(id, 'text'), outcomeOf('Hello'), '{"type":"result"}')).toEqual(wanted);
    }
  });

  it.each(['json', 'stream-json'])("with --output-format %s the result is the CLI's own line", (format) => {
    const line = '{"type":"result","result":"Hello"}';
    expect(answer(claimOf('a', format), outcomeOf('Hello'), line)).toMatchObject({ result: line });
  });

  it('without a line of the CLI the result is the text', () => {
    expect(answer(claimOf('a', 'json'), outcomeOf('Hello'), null)).toMatchObject({ result: 'Hello' });
  });

  it('a failure has its code and message', () => {
    expect(answer(claimOf('a', 'text'), FAILED, null)).toEqual({
      id: 'a',
      success: false,
      error: 'execution.timed_out: it took too long',
    });
  });

  it('a job without an id of a caller is answered with null', () => {
    const { request, ...claim } = claimOf('a', 'text');
    const bare = { ...claim, request: { ...request, metadata: {} } };
    expect(answer(bare, outcomeOf('x'), null)).toMatchObject({ id: null });
  });

  it('is never mistaken for a doorbell', () => {
    expect(parseResponseMessage(rawAnswer(claimOf('a', 'text'), outcomeOf('x'), null))).toBeNull();
  });

  it.each([
    ['ASCII', 'x'],
    ['two bytes', 'é'],
    ['a pair of surrogates', '😀'],
    ['what JSON escapes', '"'],
    ['what JSON escapes sixfold', '\u0001'],
    ['half a pair', '\ud83d'],
  ])(
    'of %s fits a message at every length around the limit, and is marked when it was cut',
    (_what, unit) => {
      for (const length of [
        10_900, 10_923, 16_380, 21_840, 32_740, 65_480, 65_500, 65_536, 70_000, 200_000,
      ]) {
        const text = unit.repeat(length);
        for (const message of [
          encode({ id: 'i'.repeat(256), success: true, result: text }),
          encode({ id: null, success: false, error: text }),
        ]) {
          expect(Buffer.byteLength(message)).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
          const { result, error } = JSON.parse(message);
          const said: string = result ?? error;
          if (said !== text) {
            expect(said.endsWith('… [cut]')).toBe(true);
            expect(text.startsWith(said.slice(0, -'… [cut]'.length))).toBe(true);
            expect(Buffer.byteLength(message)).toBeGreaterThan(MAX_MESSAGE_BYTES / 8);
          }
        }
      }
    },
  );

  it('that fits exactly is not cut', () => {
    const rest = Buffer.byteLength(JSON.stringify({ id: 'a', success: true, result: '' }));
    const result = 'x'.repeat(MAX_MESSAGE_BYTES - rest);
    expect(JSON.parse(encode({ id: 'a', success: true, result }))).toMatchObject({ result });
    expect(JSON.parse(encode({ id: 'a', success: true, result: `${result}x` })).result).toMatch(/… \[cut\]$/);
  });
});
