/** The changes of jobs, as `GET /v1/events` sends them. */
import { type Static, Type } from '#typebox';
import { APPROVAL_STATUSES } from './approval.ts';
import { JobCounts, JobStatus } from './job.ts';
import { nullable } from './schema.ts';
import { SESSION_STATUSES } from './session-states.ts';

/** A cursor as the server gives it out; `0` is the first change that is kept. */
export const CURSOR = /^(0|\d{1,19}-\d{1,19})$/;

const cursor = Type.String({ description: 'where to resume; the same on every server of a Redis' });
const at = Type.String({ description: 'RFC 3339 in UTC' });

/** What a job became with one change. Unset fields are null. */
export const JobChange = Type.Object({
  cursor,
  kind: Type.Enum(['job.created', 'job.changed', 'job.finished', 'job.deleted']),
  at,
  jobId: Type.String({ description: 'ULID' }),
  sessionId: nullable(Type.String()),
  batchId: nullable(Type.String({ description: 'the batch it belongs to' })),
  rev: Type.Integer({ description: 'grows with each change of the job' }),
  status: JobStatus,
  waitReason: nullable(Type.String({ description: 'why it does not run yet' })),
  scheduledFor: nullable(Type.String({ description: 'RFC 3339 in UTC' })),
  attempts: Type.Integer({ description: 'executions started so far' }),
  cancelRequested: Type.Boolean(),
});
export type JobChange = Static<typeof JobChange>;

/** A gate that was closed, so that jobs wait for it, or opened. */
export const GateChange = Type.Object({
  cursor,
  kind: Type.Enum(['gate.closed', 'gate.opened']),
  at,
  gate: Type.String({
    description:
      'queue | project:NAME | provider:NAME | node:ID | credential:NAME | reserve:NAME, the last two also with | and a word of models | budget:PROJECT, also with | and a principal',
  }),
  reason: nullable(
    Type.String({ description: 'paused | quota | refused | reserve | budget; null: it was opened' }),
  ),
  until: nullable(Type.String({ description: 'RFC 3339 in UTC; null: until it is opened' })),
});
export type GateChange = Static<typeof GateChange>;

/** An approval that was asked for, decided, or is over. For callers with `approvals:read`. */
export const ApprovalChange = Type.Object({
  cursor,
  kind: Type.Literal('approval.changed'),
  at,
  approvalId: Type.String({ description: 'ULID' }),
  jobId: Type.String({ description: 'ULID' }),
  sessionId: nullable(Type.String()),
  status: Type.Enum(APPROVAL_STATUSES),
});
export type ApprovalChange = Static<typeof ApprovalChange>;

/**
 * A session that was made or deleted, or has another status or activity. For callers with
 * `sessions:read`.
 */
export const SessionChange = Type.Object({
  cursor,
  kind: Type.Literal('session.changed'),
  at,
  sessionId: Type.String({ description: 'ULID' }),
  sessionKind: nullable(Type.Enum(['chat', 'terminal']), { description: 'null: not known any longer' }),
  status: Type.Enum([...SESSION_STATUSES, 'deleted']),
});
export type SessionChange = Static<typeof SessionChange>;

/** A position without a change of its own. */
export const CursorMoved = Type.Object({ cursor, kind: Type.Literal('cursor'), at });

const change: JobChange = {
  ...{ cursor: '1795608000000-0', kind: 'job.changed', at: '2026-11-25T12:00:00.000Z' },
  ...{ jobId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', sessionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', batchId: null, rev: 3 },
  ...{ status: 'running', waitReason: null, scheduledFor: null, attempts: 1, cancelRequested: false },
};

export const Change = Type.Union([JobChange, GateChange, ApprovalChange, SessionChange, CursorMoved], {
  examples: [change],
});
export type Change = Static<typeof Change>;

/** The counts of a batch after the changes before it. `batch.finished` is the last event. */
export const BatchChange = Type.Object({
  cursor,
  kind: Type.Enum(['batch.changed', 'batch.finished']),
  at,
  batchId: Type.String({ description: 'ULID' }),
  total: Type.Integer(),
  counts: JobCounts,
});
export type BatchChange = Static<typeof BatchChange>;

const batchChange: BatchChange = {
  ...{ cursor: change.cursor, kind: 'batch.changed', at: change.at, batchId: '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E' },
  ...{
    total: 2,
    counts: { queued: 1, scheduled: 0, waiting: 0, running: 1, succeeded: 0, failed: 0, cancelled: 0 },
  },
};

export const BatchEvent = Type.Union([JobChange, BatchChange], { examples: [batchChange] });
export type BatchEvent = Static<typeof BatchEvent>;
