/**
 * Named places between two steps of the protocol, where a test can hold a process and kill it exactly there.
 * Off unless BULLPEN_TEST_FAILPOINTS names a folder, which is decided once at start: then each place is the same
 * settled promise.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** What has happened by then; what comes next has not. */
export type FailpointName =
  /** The job record is there (with an Idempotency-Key), BullMQ has no delivery of it. */
  | 'job.created'
  /** A worker has taken the job and listens; nothing is submitted. */
  | 'rpc.listening'
  /** The execution is submitted; the worker will wait. */
  | 'rpc.submitted'
  /** The worker knows that the job is finished; BullMQ does not. */
  | 'rpc.finished'
  /** The record says that it runs here; the ledger knows nothing of it. */
  | 'executor.claimed'
  /** The ledger has the intent; nothing is spawned. */
  | 'executor.intended'
  /** The CLI is gone; its outcome is only in memory. */
  | 'executor.ended'
  /** The ledger has the outcome; the record has not. */
  | 'delivery.recorded'
  /** The record has the outcome; the ledger still keeps it in its outbox. */
  | 'delivery.finished';

/** Called at a place; resolves when the process may go on. */
export type Failpoint = (name: FailpointName) => Promise<void>;

const POLL_MS = 5;
const settled = Promise.resolve();

/** Never holds anything. */
export const noFailpoint: Failpoint = () => settled;

/**
 * With a folder, reaching a place writes this process's id into `<folder>/<name>.reached` and waits while
 * `<folder>/<name>.hold` exists.
 */
export function createFailpoint(folder: string | undefined): Failpoint {
  if (folder === undefined) return noFailpoint;
  return async (name) => {
    const hold = join(folder, `${name}.hold`);
    if (!existsSync(hold)) return;
    writeFileSync(join(folder, `${name}.reached`), `${process.pid}`);
    while (existsSync(hold)) await delay(POLL_MS);
  };
}
