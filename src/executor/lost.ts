import type { Finish } from '../rpc/ports.ts';
import { lostOutcome } from './outcomes.ts';

const MAX_BACKOFF_MS = 3_600_000;

/** Delay before the attempt after this one: doubles with each, with up to half of it taken away at random. */
export function backoffAfter(attempt: number, baseMs: number): number {
  const doubled = Math.min(baseMs * 2 ** (attempt - 1), MAX_BACKOFF_MS);
  return Math.round(doubled * (0.5 + Math.random() / 2));
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
