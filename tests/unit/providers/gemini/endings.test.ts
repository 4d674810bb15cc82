/** Endings that no recording has: quotas, blocked answers, a cap on turns, a newer CLI. */
import { describe, expect, it } from 'vitest';
import { createGeminiTranslator } from '../../../../src/providers/gemini/translator.ts';

const AT = '2026-01-01T00:00:00.000Z';
const init = { type: 'init', session_id: 's', model: 'm' };
const user = { type: 'message', role: 'user', content: 'Hello' };
const say = (content: string) => ({ type: 'message', role: 'assistant', content, delta: true });
const use = (id: string) => ({ type: 'tool_use', tool_name: 'read_file', tool_id: id, parameters: {} });
const used = (id: string) => ({ type: 'tool_result', tool_id: id, status: 'success', output: '' });
const failed = (message: string) => ({ type: 'result', status: 'error', timestamp: AT, error: { message } });

function fold(...lines: readonly object[]) {
  const translator = createGeminiTranslator();
  const events = lines.flatMap((line) => translator.line(JSON.stringify(line)));
  const end = (code: number | null, stderr = '') => translator.end({ code, signal: null }, stderr);
  return { translator, events, end };
}

describe('a failed call', () => {
  it.each([
    ['You have exhausted your daily quota on this model.', 173, 'execution.quota', null],
    ['Quota exceeded, limit: 0, model: m', 173, 'execution.quota', null],
    ['Slow down. Please retry in 34.5s.', 173, 'execution.quota', '2026-01-01T00:00:34.500Z'],
    ['Slow down. Suggested retry after 250ms.', 173, 'execution.quota', '2026-01-01T00:00:00.250Z'],
    ['Busy', 529 % 256, 'execution.overloaded', null],
    ['Busy', 504 % 256, 'execution.overloaded', null],
    ['models/x is not found', 404 % 256, 'execution.invalid_request', null],
    ['No access', 403 % 256, 'auth.required', null],
    ['exception TypeError: fetch failed sending request', 1, 'execution.overloaded', null],
    ['It broke', 1, 'execution.crashed', null],
  ])('%s (exit code %i) is %s', (message, exitCode, code, resetsAt) => {
    const { error } = fold(init, user, failed(`[API Error: ${message}]`)).end(exitCode);
    expect(error).toMatchObject({ code, resetsAt });
    expect(error?.message).toContain(message);
  });

  it('takes the delay from a field of the error before its words, and the kind from the exit code', () => {
    const stderr = (delay: string) =>
      `TerminalQuotaError: Slow down.\n  retryDelayMs: ${delay},\n  status: 429\n`;
    const { end } = fold(init, user, failed('[API Error: Slow down. Please retry in 9s.]'));
    expect(end(173, stderr('2500')).error?.resetsAt).toBe('2026-01-01T00:00:02.500Z');
    expect(end(173, stderr('undefined')).error?.resetsAt).toBe('2026-01-01T00:00:09.000Z');
    const words = fold(init, user, failed('[API Error: You exceeded your current quota.]'));
    expect(words.end(400 % 256).error?.code).toBe('execution.invalid_request');
    expect(words.end(1).error?.code).toBe('execution.quota');
  });

  it("takes the status from the vendor's answer where the exit code has none", () => {
    const answer = JSON.stringify({ error: { code: 503, message: 'Try later', status: 'UNAVAILABLE' } });
    const { error } = fold(init, user, failed(`[API Error: ${answer}]`)).end(1);
    expect(error).toMatchObject({ code: 'execution.overloaded', message: 'Try later' });
  });
});

describe('an ending', () => {
  it('whose answer was empty is unusable output, with the last error line as its reason', () => {
    const error = { type: 'error', severity: 'error', message: 'The model answered nothing.' };
    const { events, end } = fold(init, user, error, { type: 'result', status: 'error' });
    expect(events).toContainEqual({ kind: 'warning', code: 'error', message: 'The model answered nothing.' });
    expect(end(0).error).toMatchObject({
      code: 'execution.bad_output',
      message: 'The model answered nothing.',
    });
  });

  it('that answered and then crashed is no success', () => {
    const { end } = fold(init, user, say('Hi.'), { type: 'result', status: 'success' });
    expect(end(0).error).toBeNull();
    expect(end(1, 'Segmentation fault\n').error).toMatchObject({
      code: 'execution.crashed',
      message: 'gemini answered and then exited with code 1: Segmentation fault',
    });
  });

  it('without a last line keeps what was said', () => {
    const { end } = fold(init, user, say('One.'), use('a'), used('a'), say('Two'));
    expect(end(130)).toMatchObject({ text: 'One.\n\nTwo', turns: 2, error: { code: 'execution.crashed' } });
  });

  it('of a newer CLI, whose figures have another shape, still counts', () => {
    const { end, translator } = fold(init, user, say('Hi.'), { type: 'result', status: 'success', stats: 7 });
    expect(end(0)).toMatchObject({ text: 'Hi.', usage: null, error: null });
    expect(translator.done).toBe(true);
  });
});

describe('turns', () => {
  it('begin with the prompt, and when the last of several tools has answered', () => {
    const { translator } = fold(init);
    const turns = [user, use('a'), use('b'), used('a'), used('b'), say('Done.')].map((line) => {
      translator.line(JSON.stringify(line));
      return translator.progress.turns;
    });
    expect(turns).toEqual([1, 1, 1, 1, 2, 2]);
  });
});

describe('usage', () => {
  it('leaves cached tokens out of the input, and counts thoughts as output', () => {
    const stats = { total_tokens: 112, input_tokens: 100, output_tokens: 5, cached: 40, input: 60 };
    const result = { type: 'result', status: 'success', stats: { ...stats, models: { pro: stats } } };
    const { translator, end } = fold(init, user, result);
    const tokens = { inputTokens: 60, outputTokens: 12, cacheReadTokens: 40, cacheWriteTokens: 0 };
    expect(end(0).usage).toEqual({ ...tokens, costUsd: null, costBasis: 'unknown' });
    expect(translator.progress.byModel).toEqual({ pro: tokens });
  });

  it('is not known before the end', () => {
    expect(fold(init, user, say('Hi')).translator.progress).toEqual({ turns: 1, usage: null, byModel: {} });
  });
});

it('an unknown line, and one that is no JSON, passes as it is', () => {
  const { translator } = fold(init);
  for (const line of ['{"type":"from tomorrow"}', 'Loading…', '{']) {
    expect(translator.line(line)).toEqual([{ kind: 'raw', line }]);
  }
});
