/**
 * Named places between two steps of the protocol. A test can hold a process there and kill it. They
 * are off unless BULLPEN_TEST_FAILPOINTS names a folder.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Each comment says what has happened, and what has not. */
export type FailpointName =
  /** The record of a job with an Idempotency-Key exists; its BullMQ entry does not. */
  | 'job.created'
  /** The job is to be delivered now: a node was given it. BullMQ still delays its entry. */
  | 'queue.given'
  /** The job has ended. BullMQ has its entry. */
  | 'queue.ended'
  /** A worker has the job and listens; nothing is submitted. */
  | 'rpc.listening'
  /** The execution is submitted; the worker will wait. */
  | 'rpc.submitted'
  /** The worker knows that the job is finished; BullMQ does not. */
  | 'rpc.finished'
  /** It is not the job's turn. BullMQ counts it as delivered. */
  | 'rpc.later'
  /** A slot is free; nothing is claimed. */
  | 'executor.claiming'
  /** The record says that the job runs on this node; the ledger has no entry. */
  | 'executor.claimed'
  /** The ledger has the intent; nothing is spawned. */
  | 'executor.intended'
  /** The executor on another host has the execution; the server does not follow it. */
  | 'executor.submitted'
  /** The CLI has exited; its outcome is only in memory. */
  | 'executor.ended'
  /** The ledger has the outcome; the record does not. */
  | 'delivery.recorded'
  /** The record has the outcome; it is still in the ledger's outbox. */
  | 'delivery.finished'
  /** The session of a terminal has a record; the ledger has no entry. */
  | 'terminal.recorded'
  /** The ledger has the intent; nothing is spawned. */
  | 'terminal.intended'
  /** The program runs; its output is not read, and the ledger has no pid. */
  | 'terminal.spawned'
  /** Readers can have the output; the publisher does not know it. */
  | 'terminal.published';

/** Resolves when the process may go on. */
export type Failpoint = (name: FailpointName) => Promise<void>;

const POLL_MS = 5;
const settled = Promise.resolve();

/** Never holds a process. */
export const noFailpoint: Failpoint = () => settled;

/**
 * While `<folder>/<name>.hold` exists, a process that reaches the place writes its id into
 * `<folder>/<name>.reached` and waits.
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
