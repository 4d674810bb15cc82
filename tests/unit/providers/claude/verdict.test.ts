import { describe, expect, it } from 'vitest';
import type { Exit } from '../../../../src/protocol/cli.ts';
import { apiErrorResult, assistant, CLEAN, delta, fold, init, result, stream } from './claude-lines.ts';

const FAILED = { code: 1, signal: null };
const codeOf = (lines: Parameters<typeof fold>[0], stderr = '', exit: Exit = FAILED) =>
  fold(lines).end(exit, stderr).error?.code;
const failedMessage = (error: string, text: string) =>
  assistant([{ type: 'text', text }], { error, is_api_error_message: true });

describe('a run with a result', () => {
  it('succeeds', () => {
    expect(fold([init(), result({ num_turns: 2 })]).end()).toEqual({
      text: 'Done.',
      structured: null,
      nativeSessionId: 's1',
      turns: 2,
      usage: {
        inputTokens: 0,
        outputTokens: 0,
        cacheReadTokens: 0,
        cacheWriteTokens: 0,
        costUsd: null,
        costBasis: 'unknown',
      },
      permissionDenials: [],
      error: null,
    });
  });

  it.each([
    [apiErrorResult(401, 'Failed to authenticate.'), 'auth.required'],
    [apiErrorResult(403, 'Failed to authenticate.'), 'auth.required'],
    [apiErrorResult(null, 'Not logged in · Please run /login'), 'auth.required'],
    [apiErrorResult(429, 'Request rejected (429)'), 'execution.quota'],
    [apiErrorResult(400, 'Credit balance is too low'), 'execution.quota'],
    [apiErrorResult(529, 'overloaded'), 'execution.overloaded'],
    [apiErrorResult(500, 'internal'), 'execution.overloaded'],
    [apiErrorResult(null, 'Unable to connect to API'), 'execution.overloaded'],
    [apiErrorResult(400, 'invalid'), 'execution.invalid_request'],
    [apiErrorResult(404, 'no such model'), 'execution.invalid_request'],
    [apiErrorResult(413, 'too large', { terminal_reason: 'image_error' }), 'execution.invalid_request'],
    [
      apiErrorResult(null, 'Prompt is too long', { terminal_reason: 'prompt_too_long' }),
      'execution.invalid_request',
    ],
    [apiErrorResult(null, 'no one knows'), 'execution.crashed'],
    [result({ is_error: true, subtype: 'error_max_turns' }), 'execution.max_turns'],
    [result({ is_error: true, subtype: 'error_max_budget_usd' }), 'execution.budget'],
    [result({ is_error: true, subtype: 'error_max_structured_output_retries' }), 'execution.bad_output'],
    [
      result({
        is_error: true,
        subtype: 'error_during_execution',
        result: null,
        errors: ['No conversation found with session ID: s9'],
      }),
      'execution.invalid_request',
    ],
  ])('that is an error fails by its signs: %j', (line, code) => {
    expect(codeOf([init(), line])).toBe(code);
    expect(codeOf([init(), line], '', CLEAN)).toBe(code);
  });

  it.each([
    ['billing_error', 'execution.quota'],
    ['oauth_org_not_allowed', 'auth.required'],
    ['rate_limit', 'execution.quota'],
    ['overloaded', 'execution.overloaded'],
    ['model_not_found', 'execution.invalid_request'],
  ])('is recognised by the error class %s alone', (error, code) => {
    expect(codeOf([init(), failedMessage(error, 'no'), apiErrorResult(null, 'no')])).toBe(code);
  });

  it('does not take an API error for what the model said', () => {
    const lines = [
      assistant([{ type: 'text', text: 'Half.' }]),
      failedMessage('overloaded', 'API Error: 529'),
    ];
    const verdict = fold([init(), ...lines, apiErrorResult(529, 'API Error: 529')]).end(FAILED);
    expect(verdict.text).toBe('Half.');
    expect(verdict.error).toMatchObject({ message: 'API Error: 529', retryable: true });
  });

  it('fails when the process then ends badly, and keeps the text', () => {
    const verdict = fold([init(), result()]).end(FAILED, 'segfault');
    expect(verdict.text).toBe('Done.');
    expect(verdict.error).toMatchObject({
      code: 'execution.crashed',
      message: expect.stringContaining('segfault'),
    });
  });

  it('reports denied tools, or fails for them when asked to', () => {
    const denial = { tool_name: 'Bash', tool_use_id: 't1', tool_input: { command: 'ls' } };
    const lines = [
      init(),
      result({ permission_denials: [denial] }),
      result({ permission_denials: [denial] }),
    ];
    expect(fold(lines).end()).toMatchObject({
      error: null,
      permissionDenials: [{ tool: 'Bash', input: { command: 'ls' } }],
    });
    const failed = fold(lines, { onPermissionDenied: 'fail' }).end();
    expect(failed.error).toMatchObject({ code: 'execution.permission_denied', message: 'not allowed: Bash' });
    expect(failed.text).toBe('Done.');
  });

  it('must hold the structured output that was asked for', () => {
    const request = { outputSchema: { type: 'object' } };
    expect(fold([result({ structured_output: { a: 1 } })], request).end()).toMatchObject({
      structured: { a: 1 },
      error: null,
    });
    expect(fold([result()], request).end().error?.code).toBe('execution.bad_output');
  });
});

describe('a run without a result', () => {
  it.each([
    ['No conversation found with session ID: s9\n', 'execution.invalid_request'],
    ["error: unknown option '--nonsense'\n", 'execution.invalid_request'],
    ['warning\nNot logged in · Please run /login', 'auth.required'],
    ['Killed', 'execution.crashed'],
    ['', 'execution.crashed'],
  ])('and %j on stderr', (stderr, code) => {
    expect(fold([]).end(FAILED, stderr).error?.code).toBe(code);
  });

  it('that exits with 0 has no usable output', () => {
    expect(fold([init()]).end(CLEAN).error?.code).toBe('execution.bad_output');
  });

  it('names the signal and keeps what was said and used', () => {
    const usage = { input_tokens: 10, output_tokens: 1, cache_read_input_tokens: 4 };
    const verdict = fold([
      init(),
      assistant([{ type: 'text', text: 'First.' }]),
      stream({ type: 'message_start', message: { id: 'm2', usage } }),
      delta('Sec'),
      delta('ond'),
    ]).end({ code: null, signal: 'SIGKILL' });
    expect(verdict).toMatchObject({
      text: 'First.\n\nSecond',
      nativeSessionId: 's1',
      turns: null,
      usage: { inputTokens: 10, outputTokens: 1, cacheReadTokens: 4, costUsd: null, costBasis: 'unknown' },
      error: { code: 'execution.crashed', message: 'claude was killed by SIGKILL' },
    });
  });

  it('forgets the words of a call that failed and was made again', () => {
    const start = stream({ type: 'message_start', message: { id: 'm1' } });
    expect(fold([start, delta('lost'), start, delta('kept')]).end(FAILED).text).toBe('kept');
  });
});
