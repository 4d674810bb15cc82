/** The executions that have not ended, or whose outcome the ledger does not have yet. */

import type { AppError } from '../../errors.ts';
import type { CancelRequest, KnownExecution, Submission } from '../../protocol/executor-service.ts';
import { DEFAULT_PROJECT } from '../../protocol/project.ts';
import type { Claim, Finish, TimedEvent } from '../../records/ports.ts';
import type { SubmittedAs } from '../../store/executions.ts';

export interface LiveExecution {
  readonly submission: Submission;
  readonly submittedAs: SubmittedAs;
  readonly claim: Claim;
  /** `settling`: it ends without a process. */
  state: 'waiting' | 'claimed' | 'settling';
  /** How many events are stored. */
  events: number;
  /** The events that were stored last, for those who follow it live. */
  batch: { readonly from: number; readonly events: readonly TimedEvent[] } | null;
  /** When its server asked for it last, by the clock of the executor, in ms. */
  renewedAt: number;
  followers: number;
  cancel: CancelRequest | null;
  /** Its end. */
  finish: Finish | null;
  /** Why it was forgotten before it began; null: it was not. */
  refusal: AppError | null;
  /** Resolves at the next change. */
  changed: PromiseWithResolvers<void>;
}

/** By id, in the order of their submission. */
export type LiveExecutions = Map<string, LiveExecution>;

export function createLiveExecution(
  submission: Submission,
  fingerprint: string,
  renewedAt: number,
): LiveExecution {
  const { id, jobId, attempt, kind, sessionId, principal, request } = submission;
  return {
    submission,
    submittedAs: { jobId, fingerprint },
    claim: {
      // The ledger's rule, one spawn for each attempt of a job, holds by the id: it is the fence.
      ...{ jobId: id, executionId: id, attempt, kind, project: DEFAULT_PROJECT, principal },
      ...{ grant: null, forged: false, sessionId, request },
    },
    ...{ state: 'waiting', events: 0, batch: null, renewedAt, followers: 0, cancel: null, finish: null },
    refusal: null,
    changed: Promise.withResolvers(),
  };
}

/** Lets those who follow an execution look at it. */
export function wake(one: LiveExecution): void {
  const { resolve } = one.changed;
  one.changed = Promise.withResolvers();
  resolve();
}

export const waiting = (live: LiveExecutions): readonly LiveExecution[] =>
  [...live.values()].filter(({ state }) => state === 'waiting');

export const shown = ({ submission, state, events, finish }: LiveExecution): KnownExecution => ({
  id: submission.id,
  jobId: submission.jobId,
  state: finish !== null ? 'ended' : state === 'claimed' ? 'running' : 'waiting',
  events,
});
