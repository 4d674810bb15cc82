import { describe, expect, it } from 'vitest';
import { TRANSCRIPT } from '../../../../src/providers/codex/transcript.ts';

const line = (type: string, fields: object = {}) => ({ type: 'event_msg', payload: { type, ...fields } });
const started = line('task_started');
const used = (percent: number, resetsAt: number | null = 1_800_000_000) => {
  const primary = { used_percent: percent, window_minutes: 300, resets_at: resetsAt };
  return line('token_count', { info: null, rate_limits: { limit_id: 'codex', primary, secondary: null } });
};
const ended = (info: unknown) =>
  line('task_complete', { error: { message: 'no words count', codex_error_info: info } });
const limitsOf = (...lines: unknown[]) => TRANSCRIPT.limits?.(lines) ?? expect.unreachable();

describe("a thread's file of codex", () => {
  it('has the end of a usage limit, in seconds', () => {
    expect(limitsOf(started, used(100), ended('usage_limit_exceeded'))).toEqual({
      windows: [
        {
          kind: 'rate_limit',
          status: 'rejected',
          limit: 'primary',
          resetsAt: '2027-01-15T08:00:00.000Z',
          use: 1,
        },
      ],
      refused: { resetsAt: '2027-01-15T08:00:00.000Z' },
    });
  });

  it.each([
    [1_800_000_000_000, '2027-01-15T08:00:00.000Z'],
    [null, null],
    [-1, null],
  ])('reads the time %d as %s', (resetsAt, at) => {
    expect(limitsOf(used(100, resetsAt), ended('usage_limit_exceeded')).refused).toEqual({ resetsAt: at });
  });

  it('has a rate limit that outlasted the retries, and no other failure is one', () => {
    const attempts = (status: number) => ({
      response_too_many_failed_attempts: { http_status_code: status },
    });
    expect(limitsOf(used(10), ended(attempts(429))).refused).toEqual({ resetsAt: null });
    for (const info of [attempts(503), 'server_overloaded', 'unauthorized', null]) {
      expect(limitsOf(used(100), ended(info)).refused).toBeNull();
    }
  });

  it('has the use of the last turn only, and nothing in a form that is not known', () => {
    const { windows, refused } = limitsOf(
      started,
      used(100),
      ended('usage_limit_exceeded'),
      started,
      used(85),
    );
    expect(refused).toBeNull();
    expect(windows).toMatchObject([{ status: 'allowed', limit: 'primary', use: 0.85 }]);
    expect(limitsOf(used(85), started).windows).toEqual([]);
    const odd = line('token_count', { rate_limits: { primary: { used_percent: 'all' } } });
    expect(limitsOf(undefined, 'text', odd)).toEqual({ windows: [], refused: null });
  });
});
