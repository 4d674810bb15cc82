import { describe, expect, it } from 'vitest';
import { apiErrorResult, assistant, fold, init, result, retry, stream } from './claude-lines.ts';

const text = (value: string) => ({ type: 'text', text: value });

describe('a retry of the CLI', () => {
  it('is told with what it knows', () => {
    expect(fold([retry(429, 3)]).events).toEqual([
      { kind: 'retry', retry: 3, maxRetries: 10, delayMs: 500, status: 429, reason: 'rate_limit' },
    ]);
  });

  it.each([429, 500, 529])('for %i is worth waiting for', (status) => {
    expect(fold([init(), retry(status, 9)]).translator.hopeless).toBeNull();
  });

  it.each([401, 403])('for %i is hopeless with a key of the environment', (status) => {
    expect(fold([init(), retry(status)]).translator.hopeless).toMatchObject({ code: 'auth.required' });
  });

  it('gives a login one chance to renew its token', () => {
    const login = init({ apiKeySource: 'none' });
    expect(fold([login, retry(401, 1)]).translator.hopeless).toBeNull();
    expect(fold([login, retry(401, 2)]).translator.hopeless).toMatchObject({
      code: 'auth.required',
      message: expect.stringContaining('/login'),
    });
  });

  it('that was hopeless names the reason also when the process was then killed', () => {
    const { error } = fold([init(), retry(401)]).end({ code: null, signal: 'SIGTERM' });
    expect(error?.code).toBe('auth.required');
  });
});

describe('the last word', () => {
  it('is the result', () => {
    expect(fold([init(), assistant([text('Hi')])]).translator.done).toBe(false);
    expect(fold([init(), result()]).translator.done).toBe(true);
    expect(fold([init(), apiErrorResult(400, 'no')]).translator.done).toBe(true);
  });

  it('is not said while another turn waits or begins', () => {
    expect(fold([result({ queued_turn_count: 1 })]).translator.done).toBe(false);
    expect(fold([result(), init()]).translator.done).toBe(false);
    expect(fold([result(), stream({ type: 'message_start' })]).translator.done).toBe(false);
  });

  it('is not said while a task runs in the background', () => {
    const tasks = (list: unknown[]) => ({ type: 'system', subtype: 'background_tasks_changed', tasks: list });
    expect(fold([tasks([{}]), result()]).translator.done).toBe(false);
    expect(fold([tasks([{}]), result(), tasks([])]).translator.done).toBe(true);
  });
});

describe('a limit that turned the run away', () => {
  const limit = (status: string, resetsAt: number) => ({
    type: 'rate_limit_event',
    rate_limit_info: { status, resetsAt, rateLimitType: 'five_hour' },
  });
  const endOf = (lines: Parameters<typeof fold>[0]) => fold(lines).end({ code: 1, signal: null }).error;

  it('says in the error when it is lifted', () => {
    const error = endOf([init(), limit('rejected', 1_800_000_000), apiErrorResult(429, 'limit reached')]);
    expect(error).toMatchObject({ code: 'execution.rate_limited', resetsAt: '2027-01-15T08:00:00.000Z' });
  });

  it('says nothing of the kind for a warning, or for another error', () => {
    expect(
      endOf([init(), limit('allowed_warning', 1_800_000_000), apiErrorResult(429, 'no')])?.resetsAt,
    ).toBeNull();
    expect(endOf([init(), limit('rejected', 1_800_000_000), apiErrorResult(529, 'no')])?.resetsAt).toBeNull();
  });
});
