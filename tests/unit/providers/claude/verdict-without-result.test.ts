import { describe, expect, it } from 'vitest';
import { assistant, CLEAN, delta, fold, init, stream } from './claude-lines.ts';

const FAILED = { code: 1, signal: null };

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
