import type { Finish } from '../rpc/ports.ts';
import { lostOutcome } from './outcomes.ts';

const MAX_BACKOFF_MS = 3_600_000;

/** A vendor that lifts its limit later than this gets no retry: the job fails and says when. */
export const MAX_RESET_WAIT_MS = 6 * 3_600_000;

/** Delay before the attempt after this one: doubles with each, with up to half of it taken away at random. */
export function backoffAfter(attempt: number, baseMs: number): number {
  const doubled = Math.min(baseMs * 2 ** (attempt - 1), MAX_BACKOFF_MS);
  return Math.round(doubled * (0.5 + Math.random() / 2));
}

/**
 * Delay before the attempt after this one, given how it failed: the backoff, but never before the vendor lifts its
 * limit, and then not all at the same moment. null: that is too far away.
 * @param nowMs milliseconds since the epoch
 */
export function retryDelay(
  error: { readonly resetsAt: string | null } | null,
  attempt: number,
  baseMs: number,
  nowMs: number,
): number | null {
  const backoffMs = backoffAfter(attempt, baseMs);
  const resetMs = Date.parse(error?.resetsAt ?? '') - nowMs;
  if (Number.isNaN(resetMs) || resetMs <= 0) return backoffMs;
  return resetMs > MAX_RESET_WAIT_MS ? null : Math.ceil(resetMs) + backoffMs;
}

/** The end of an execution of which nothing is known any more. */
export const lostFinish = (jobId: string, executionId: string, backoffMs: number): Finish => ({
  jobId,
  executionId,
  outcome: lostOutcome(executionId),
  from: 0,
  tail: [],
  backoffMs,
  rawAnswer: null,
});
