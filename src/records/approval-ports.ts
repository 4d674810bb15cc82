/** The durable records of approvals, and of messages to the CLI of a running job. */

import type { Approval, ApprovalStatus, Decision } from '../protocol/approval.ts';
import type { OwnedAct } from '../protocol/audit.ts';
import type { Ask } from '../providers/control.ts';
import type { Limited } from './limit-records.ts';

/** An approval as the executor needs it. */
export interface ApprovalRecord extends Approval {
  readonly callId: string;
  /** How the CLI waits: in a process that holds the call, in its session, or for a grant. */
  readonly waits: 'held' | 'deferred' | 'granted';
  /** Null while it is pending, and when it is not signed as it should be. */
  readonly decision: Decision | null;
  /** Whether the CLI was given the decision. */
  readonly used: boolean;
}

export type DecideResult =
  | { readonly kind: 'decided' | 'repeated'; readonly approval: Approval }
  | { readonly kind: 'gone' }
  /** Decided otherwise, expired or cancelled. */
  | { readonly kind: 'over'; readonly status: ApprovalStatus };

/** For HTTP. */
export interface Approvals {
  /** @throws AppError record.damaged */
  read(id: string): Promise<Approval | null>;
  /**
   * Decides a pending approval. The job goes on when none of its approvals is pending any longer.
   * With scope session the rules of the decision hold for its session from now on.
   * @throws AppError record.damaged, also when it should be signed and is not
   */
  decide(
    id: string,
    decided: { readonly decision: Decision; readonly scope: 'call' | 'session' },
    by: OwnedAct,
  ): Promise<DecideResult>;
}

/** For the copies of a node. */
export interface ApprovalCopies {
  /** Those of these that exist and can be read, oldest first. */
  readMany(ids: readonly string[]): Promise<readonly Approval[]>;
}

/** For the executor. */
export interface RunningApprovals {
  /**
   * Opens an approval of the current execution: at most one per `callId`. Emits
   * `approval.requested`. Null: this is no longer the job's current execution.
   * @param id a new ULID
   */
  open(
    execution: { readonly jobId: string; readonly executionId: string },
    asked: { readonly id: string; readonly ask: Ask; readonly expiresAt: number },
  ): Promise<{
    readonly approvalId: string;
    /** Whether the job or its session has a reader now. */
    readonly watched: boolean;
  } | null>;
  /** All approvals of a job, oldest first. */
  ofJob(jobId: string): Promise<readonly ApprovalRecord[]>;
  /** Approvals of a session that were over before its CLI had an answer. */
  unanswered(sessionId: string): Promise<readonly ApprovalRecord[]>;
  /** The pending approvals of a session. */
  openIn(sessionId: string): Promise<readonly ApprovalRecord[]>;
  /**
   * From now on it waits without a process.
   * @param callId of the call that waits in the session of the CLI: the model may have made it
   *   again. Left out: as it was.
   */
  park(approvalId: string, waits: 'deferred' | 'granted', callId?: string): Promise<void>;
  /**
   * Takes the decision for the CLI: at most one call gets it. Null: it is pending, or was used. A
   * decision that is not signed as it should be is a denial, and so is each of `unanswered`.
   */
  take(approvalId: string, executionId: string): Promise<Decision | null>;
  /**
   * The CLI does not wait for it any longer: a pending one becomes cancelled, a decision counts as
   * used.
   */
  withdraw(approvalId: string): Promise<void>;
}

export type SteerResult =
  /** It is on its way to the running turn. */
  | 'sent'
  /** No turn runs. */
  | 'not_running'
  /** A limit of its sender is reached. */
  | Limited;

/** Messages into running turns: at most once each. */
export interface SteerMessages {
  /**
   * For HTTP. Rings the job's node.
   * @param sender for whose limits it counts as a job; left out: it counts for none
   */
  send(
    jobId: string,
    message: { readonly id: string; readonly text: string },
    sender?: { readonly project: string; readonly id: string },
  ): Promise<SteerResult>;
  /** What became of a message. */
  state(jobId: string, messageId: string): Promise<'sent' | 'steered' | 'refused' | 'gone'>;
  /** Takes back a message that no node has taken. False: it was taken. */
  withdraw(jobId: string, messageId: string): Promise<boolean>;
  /** For the executor: the messages of its execution, each only once. */
  take(
    jobId: string,
    executionId: string,
  ): Promise<readonly { readonly id: string; readonly text: string }[]>;
  /** For the executor: whether the running turn has it. Wakes those who wait. */
  settle(jobId: string, messageId: string, as: 'steered' | 'refused'): Promise<void>;
}
