import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { type ErrorCode, wireError } from '../../../src/errors.ts';
import {
  backoffAfter,
  MAX_RESET_WAIT_MS,
  parkedOutcome,
  retryDelay,
} from '../../../src/executor/outcomes.ts';
import { jobOutcome } from '../../../src/protocol/outcome.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const BASE_MS = 1000;
const at = (ms: number) => ({ resetsAt: new Date(NOW + ms).toISOString() });
const many = (delay: () => number | null): number[] => Array.from({ length: 200 }, () => delay() ?? -1);

it('a backoff doubles with each attempt, with up to half of it taken away, and stays below an hour', () => {
  for (const [attempt, full] of [
    [1, 1000],
    [2, 2000],
    [5, 16_000],
    [20, 3_600_000],
  ] as const) {
    const delays = many(() => backoffAfter(attempt, BASE_MS));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(full / 2);
    expect(Math.max(...delays)).toBeLessThanOrEqual(full);
    expect(new Set(delays).size).toBeGreaterThan(50);
  }
});

it('without a moment from the vendor, or with one that has passed, a retry waits for the backoff', () => {
  for (const error of [null, { resetsAt: null }, { resetsAt: 'soon' }, at(-1), at(0)]) {
    const delays = many(() => retryDelay(error, 1, BASE_MS, NOW));
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(500);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1000);
  }
});

it('a retry never comes before the vendor lifts its limit, and not all of them at that moment', () => {
  const delays = many(() => retryDelay(at(600_000), 1, BASE_MS, NOW));
  expect(Math.min(...delays)).toBeGreaterThan(600_000);
  expect(Math.max(...delays)).toBeLessThanOrEqual(601_000);
  expect(new Set(delays).size).toBeGreaterThan(50);
});

it('a limit that lasts longer than six hours gets no retry', () => {
  expect(retryDelay(at(MAX_RESET_WAIT_MS), 1, BASE_MS, NOW)).toBeGreaterThan(MAX_RESET_WAIT_MS);
  expect(retryDelay(at(MAX_RESET_WAIT_MS + 1), 1, BASE_MS, NOW)).toBeNull();
});

it('a job with open approvals waits for them after a turn, an overload or a limit, and after no failure', () => {
  const outcome = (code: ErrorCode | null) => ({
    ...jobOutcome('failed', wireError(code ?? 'internal.error', 'it failed')),
    ...(code === null && { status: 'succeeded' as const, error: null }),
    text: 'so far',
  });
  const waits = (code: ErrorCode | null, onQuota: 'wait' | 'fail' = 'wait') =>
    parkedOutcome({ request: resolvedPrompt({ onQuota }) }, outcome(code));
  for (const code of [
    null,
    'execution.awaiting_approval',
    'execution.overloaded',
    'execution.crashed',
    'execution.quota',
  ] as const)
    expect(waits(code)).toMatchObject({
      ...{ status: 'failed', text: 'so far', error: { code: 'execution.awaiting_approval' } },
    });
  expect(waits('execution.quota', 'fail')).toBeNull();
  for (const code of [
    'execution.cancelled',
    'execution.lost',
    'execution.timed_out',
    'auth.required',
  ] as const)
    expect(waits(code)).toBeNull();
});
