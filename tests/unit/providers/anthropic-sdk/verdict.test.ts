import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ErrorCode } from '../../../../src/errors.ts';
import type { Exit } from '../../../../src/protocol/cli.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createAnthropicProvider } from '../../../../src/providers/anthropic-sdk/provider.ts';
import type { Verdict } from '../../../../src/providers/provider.ts';
import { builtInOptions } from '../settings.ts';

const start = {
  type: 'message_start',
  message: {
    model: 'claude-sonnet-5-5',
    usage: {
      input_tokens: 10,
      cache_read_input_tokens: 4,
      cache_creation_input_tokens: null,
      output_tokens: 1,
    },
  },
};
const delta = (text: string, index = 0) => ({
  type: 'content_block_delta',
  index,
  delta: { type: 'text_delta', text },
});
const stop = { type: 'content_block_stop', index: 0 };
const last = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } };
const result = (text: string, stopReason = 'end_turn') => ({
  type: 'result',
  text,
  model: 'claude-sonnet-5-5',
  stop_reason: stopReason,
  usage: {},
});
const failure = (status: number | null, errorType: string | null, message = 'no') => ({
  type: 'error',
  status,
  errorType,
  message,
  resetsAt: null,
});

const DONE: Exit = { code: 0, signal: null };
const FAILED: Exit = { code: 1, signal: null };

function run(lines: readonly object[], exit: Exit, request: Partial<ResolvedPrompt> = {}, stderr = '') {
  const translator = createAnthropicProvider(builtInOptions()).translator(resolvedPrompt(request));
  const events = lines.flatMap((line) => translator.line(JSON.stringify(line)));
  const verdict: Verdict = translator.end(exit, stderr);
  return { events, verdict, done: translator.done, progress: translator.progress };
}

const codeOf = (...args: Parameters<typeof run>): ErrorCode | null =>
  run(...args).verdict.error?.code ?? null;

describe('the end of a call of the Messages API', () => {
  it('is a success with a result and exit code 0', () => {
    const lines = [start, delta('Yes'), delta('.'), stop, last, { type: 'message_stop' }, result('Yes.')];
    const { events, verdict, done } = run(lines, DONE);
    expect(events.map(({ kind }) => kind)).toEqual(['text.delta', 'text.delta', 'text', 'usage']);
    expect(done).toBe(true);
    expect(verdict).toEqual({
      text: 'Yes.',
      structured: null,
      nativeSessionId: null,
      turns: 1,
      usage: {
        inputTokens: 10,
        outputTokens: 7,
        cacheReadTokens: 4,
        cacheWriteTokens: 0,
        costUsd: null,
        costBasis: 'unknown',
      },
      permissionDenials: [],
      error: null,
    });
  });

  it.each<[number | null, string | null, ErrorCode]>([
    [401, 'authentication_error', 'auth.required'],
    [403, 'permission_error', 'auth.required'],
    [402, null, 'execution.quota'],
    [400, 'billing_error', 'execution.quota'],
    [429, 'rate_limit_error', 'execution.quota'],
    [400, 'invalid_request_error', 'execution.invalid_request'],
    [404, 'not_found_error', 'execution.invalid_request'],
    [413, null, 'execution.invalid_request'],
    [408, null, 'execution.overloaded'],
    [409, 'conflict_error', 'execution.overloaded'],
    [500, 'api_error', 'execution.overloaded'],
    [529, 'overloaded_error', 'execution.overloaded'],
    [null, 'overloaded_error', 'execution.overloaded'],
    [null, 'connection_error', 'execution.overloaded'],
    [null, 'invalid_request_error', 'execution.invalid_request'],
    [null, null, 'execution.crashed'],
  ])('with the status %s and the type %s is %s', (status, type, code) => {
    expect(codeOf([failure(status, type)], FAILED)).toBe(code);
  });

  it('is a lack of credit when the API says so in words only', () => {
    const said = failure(400, 'invalid_request_error', 'Your credit balance is too low');
    expect(codeOf([said], FAILED)).toBe('execution.quota');
  });

  it('keeps when a limit is over', () => {
    const limited = { ...failure(429, 'rate_limit_error'), resetsAt: '2026-01-01T00:00:00.000Z' };
    expect(run([limited], FAILED).verdict.error?.resetsAt).toBe('2026-01-01T00:00:00.000Z');
  });

  it('in the middle keeps the text and what it has used', () => {
    const { verdict } = run([start, delta('Ye'), failure(null, 'overloaded_error')], FAILED);
    expect(verdict).toMatchObject({ text: 'Ye', turns: null, usage: { inputTokens: 10, outputTokens: 1 } });
  });

  it.each([
    ['max_tokens', 'execution.bad_output'],
    ['model_context_window_exceeded', 'execution.invalid_request'],
    ['refusal', 'execution.invalid_request'],
    ['stop_sequence', null],
  ])('for the reason %s is %s', (reason, code) => {
    expect(codeOf([start, result('Ye', reason)], DONE)).toBe(code);
    expect(run([start, result('Ye', reason)], DONE).verdict.text).toBe('Ye');
  });

  it('is a crash when the process was killed or failed without a word', () => {
    const killed = run([start, delta('Ye')], { code: null, signal: 'SIGKILL' }).verdict;
    expect(killed).toMatchObject({ text: 'Ye', error: { code: 'execution.crashed' } });
    expect(run([], FAILED, {}, 'Cannot find module').verdict.error).toMatchObject({
      code: 'execution.crashed',
      message: 'the runner exited with code 1: Cannot find module',
    });
    expect(codeOf([start], DONE)).toBe('execution.bad_output');
    expect(codeOf([result('Yes')], FAILED)).toBe('execution.crashed');
  });

  it('has the structured output that was asked for, or is none', () => {
    const outputSchema = { type: 'object' };
    expect(run([result('{"a":1}')], DONE, { outputSchema }).verdict).toMatchObject({
      structured: { a: 1 },
      error: null,
    });
    expect(codeOf([result('Sorry')], DONE, { outputSchema })).toBe('execution.bad_output');
  });
});

describe('the progress of a call of the Messages API', () => {
  it('has the tokens under the model that answers', () => {
    expect(run([], DONE).progress).toEqual({ turns: 0, usage: null, byModel: {} });
    const { progress } = run([start, last], DONE);
    expect(progress.turns).toBe(1);
    expect(progress.byModel).toEqual({
      'claude-sonnet-5-5': { inputTokens: 10, outputTokens: 7, cacheReadTokens: 4, cacheWriteTokens: 0 },
    });
  });
});
