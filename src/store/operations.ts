import { cursorReads } from './cursors.ts';
import { deletionWrites } from './delete-job.ts';
import { eventReads, eventWrites } from './events.ts';
import { executionReads, executionWrites } from './executions.ts';
import { jobReads } from './jobs.ts';
import { listReads } from './list-jobs.ts';
import { projectionWrites } from './project-jobs.ts';
import { retentionWrites } from './retention.ts';
import { sessionReads } from './sessions.ts';
import { usageReads } from './usage.ts';

const reads = {
  ...executionReads,
  ...jobReads,
  ...eventReads,
  ...cursorReads,
  ...sessionReads,
};
/** What may look at very many rows. */
const reports = { ...listReads, ...usageReads };
const writes = {
  ...executionWrites,
  ...projectionWrites,
  ...deletionWrites,
  ...eventWrites,
  ...retentionWrites,
};

/** Everything the store can do: name → `(db, args) => result`, run in a thread of the store. */
export const operations = { ...reads, ...reports, ...writes };

export type Operations = typeof operations;
export type OperationName = keyof Operations;

/** Whether an operation changes the database, so that it is answered only after a commit. */
export const isDurable = (op: OperationName): boolean => op in writes;

/** Whether an operation runs in the reader's thread, so that no change waits for it. */
export const isReport = (op: OperationName): boolean => op in reports;

/** Changes nobody waits for: told again, or not missed, when the server is killed before they are on the disk. */
const UNHURRIED: ReadonlySet<OperationName> = new Set(['executions.started', 'executions.delivered']);

/** Whether a change may wait a moment for the next one, so that both cost one message and one commit. */
export const isUnhurried = (op: OperationName): boolean => UNHURRIED.has(op);

/**
 * Changes that are made again when a power failure takes them: they came out of the log, with a position that is
 * saved beside them, or remove what is still too old then. A killed server loses none.
 */
const REPEATABLE: ReadonlySet<OperationName> = new Set(['jobs.project', 'retention.sweep']);

/** Whether a commit of such changes alone need not wait for the disk: the next one that does brings them along. */
export const isRepeatable = (op: OperationName): boolean => REPEATABLE.has(op);
