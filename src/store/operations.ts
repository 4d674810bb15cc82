import { approvalReads, approvalReports } from './approvals.ts';
import { auditReports, auditWrites } from './audit.ts';
import { batchReads, batchReports } from './batches.ts';
import { copyWrites, cursorReads } from './copies.ts';
import { loginReads, loginWrites } from './ended-logins.ts';
import { eventReads, eventWrites } from './events.ts';
import { executionReads, executionWrites } from './executions.ts';
import { jobReads, jobReports } from './jobs.ts';
import { keyReads, keyWrites } from './keys.ts';
import { listReads } from './list-jobs.ts';
import { sessionListReads, sessionReports } from './list-sessions.ts';
import { retentionWrites } from './retention.ts';
import { sessionCopyReads } from './session-copies.ts';
import { sessionReads } from './sessions.ts';
import { terminalReads, terminalWrites } from './terminals.ts';
import { usageReads } from './usage.ts';
import { signatureWrites } from './used-signatures.ts';

const reads = {
  ...executionReads,
  ...jobReads,
  ...batchReads,
  ...eventReads,
  ...cursorReads,
  ...sessionReads,
  ...sessionListReads,
  ...sessionCopyReads,
  ...approvalReads,
  ...keyReads,
  ...terminalReads,
  ...loginReads,
};
/** Reads that may visit very many rows. */
const reports = {
  ...jobReports,
  ...listReads,
  ...batchReports,
  ...usageReads,
  ...auditReports,
  ...sessionReports,
  ...approvalReports,
};
const writes = {
  ...executionWrites,
  ...copyWrites,
  ...eventWrites,
  ...keyWrites,
  ...retentionWrites,
  ...auditWrites,
  ...terminalWrites,
  ...signatureWrites,
  ...loginWrites,
};

/** Every operation of the store by its name: `(db, args) => result`, run in one of its threads. */
export const operations = { ...reads, ...reports, ...writes };

export type Operations = typeof operations;
export type OperationName = keyof Operations;

/** Whether the operation changes the database. It is answered after its commit. */
export const isWrite = (op: OperationName): boolean => op in writes;

/** Whether the operation runs in the reader's thread, where no write waits for it. */
export const isReport = (op: OperationName): boolean => op in reports;

/**
 * A crash may lose these: recovery finds started processes by their markers and delivers outcomes
 * again.
 */
const DEFERRABLE: ReadonlySet<OperationName> = new Set([
  ...(['executions.started', 'executions.delivered', 'terminals.started'] as const),
]);

/**
 * Whether a write may wait a moment for the next one, so that both share a message and a commit.
 */
export const isDeferrable = (op: OperationName): boolean => DEFERRABLE.has(op);

/**
 * Writes that are made again when a power failure loses them. Copies come from the log, whose
 * position is stored beside them; the next sweep finds the same old rows. A killed process loses
 * none.
 */
const REPEATABLE: ReadonlySet<OperationName> = new Set(['copies.apply', 'retention.sweep']);

/**
 * Whether a commit with only such writes may skip the wait for the disk. The next durable commit
 * syncs them.
 */
export const isRepeatable = (op: OperationName): boolean => REPEATABLE.has(op);
