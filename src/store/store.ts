import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { createOutage, supervise } from '../outage.ts';
import { siblingModule } from '../sibling-module.ts';
import { isDurable, isReport, isUnhurried, type OperationName, type Operations } from './operations.ts';
import { type StoreThread, startThread, unavailable } from './thread.ts';
import type { OperationRequest } from './thread-messages.ts';

/** How long a change nobody waits for may wait for another one. */
const UNHURRIED_MS = 100;

/**
 * The ledger. Calls never block the event loop; what changed something is on the disk when it resolves, except that a
 * power failure may take the newest of the projection, which is then made again. Lists, searches and reports have a
 * thread of their own, so that no change waits for them: they see what had been acknowledged when they were asked for.
 */
export interface Store {
  /**
   * @throws AppError store.unavailable while the disk does not take it (full, failing, locked by another
   * program) and after `close`; what the operation itself throws; internal.error
   */
  run<K extends OperationName>(op: K, args: Parameters<Operations[K]>[1]): Promise<ReturnType<Operations[K]>>;
  /** Since the start. Many operations share a commit. */
  stats(): { readonly operations: number; readonly commits: number; readonly pending: number };
  /** Finishes what was asked for, closes the file, ends the threads. Idempotent. */
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Path of the SQLite file. Its folder exists and is locked by the caller. */
  readonly file: string;
  /** Told of rows that cannot be read. */
  readonly report?: ReportDamage;
  readonly logger: Logger;
}

/**
 * Starts the store's thread, and another one, for ever, should it fail: what it was asked for is refused then.
 * @throws AppError config.invalid when the file cannot be used
 */
export async function openStore({ file, report = () => undefined, logger }: StoreOptions): Promise<Store> {
  const log = logger.child({ component: 'store' });
  const start = (name: string, module: string): Promise<StoreThread> =>
    startThread({ module: siblingModule(import.meta.url, module), file, name, report, logger: log });
  const startWriter = () => start('store', './store-thread');
  let writer = await startWriter();
  const stopping = new AbortController();
  const supervision = supervise<StoreThread>({
    first: writer,
    ended: (thread) => thread.ended,
    start: startWriter,
    onStarted(thread) {
      writer = thread;
    },
    outage: createOutage('store', log),
    signal: stopping.signal,
  });
  /** Started by the first read: a server without lists does without it. */
  let reader: Promise<StoreThread> | null = null;
  let operations = 0;
  let closing: Promise<void> | null = null;

  /** Asked for, not sent: they go out with the next one, in order. */
  let held: OperationRequest[] = [];
  let holding: NodeJS.Timeout | null = null;

  /** Each message wakes the thread, and each batch of changes is a wait for the disk. */
  function sendWith(request: OperationRequest): void {
    writer.send({ kind: 'run', requests: [...held, request] }); // throws when it cannot be cloned: the others stay held
    letGo();
  }

  function sendHeld(): void {
    if (held.length > 0) writer.send({ kind: 'run', requests: held });
    letGo();
  }

  function letGo(): void {
    held = [];
    if (holding !== null) clearTimeout(holding);
    holding = null;
  }

  function startReader(): Promise<StoreThread> {
    if (reader !== null) return reader;
    const again = (): void => {
      reader = null; // the next one tries again
    };
    reader = start('reader', './reader-thread');
    reader.then(({ ended }) => ended).then(again, again);
    return reader;
  }

  function refuseIfClosed(): void {
    if (closing !== null) throw unavailable('it is closed');
    writer.refuseIfGone();
  }

  function write(request: OperationRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      refuseIfClosed();
      if (isUnhurried(request.op)) {
        held.push(request);
        holding ??= setTimeout(sendHeld, UNHURRIED_MS);
      } else sendWith(request);
      writer.wait(request, resolve, reject);
    });
  }

  async function read(request: OperationRequest): Promise<unknown> {
    refuseIfClosed();
    const thread = await startReader();
    return new Promise((resolve, reject) => {
      thread.refuseIfGone();
      thread.send({ kind: 'run', requests: [request] });
      thread.wait(request, resolve, reject);
    });
  }

  /** Tells the search index which jobs have come or gone. */
  async function tellReader(ids: readonly string[] | null): Promise<void> {
    const thread = await reader?.catch(() => null);
    if (thread && (ids === null || ids.length > 0)) thread.send({ kind: 'changed', ids });
  }

  return {
    async run(op, args) {
      const request: OperationRequest = { id: operations++, op, args, durable: isDurable(op) };
      // as: the threads answer with what the operation of this name returned.
      const value = (await (isReport(op) ? read(request) : write(request))) as ReturnType<
        Operations[typeof op]
      >;
      if (reader !== null) void tellReader(changedJobs(request, value));
      return value;
    },
    stats: () => ({ operations, commits: writer.commits, pending: writer.pending }),
    close() {
      closing ??= (async () => {
        sendHeld();
        stopping.abort();
        await supervision;
        // The last connection that closes must be the one that may write: it takes the write-ahead log along.
        if (reader !== null) await (await reader.catch(() => null))?.close();
        await writer.close();
      })();
      return closing;
    },
  };
}

/** The jobs that an operation may have added or removed; null: any. */
function changedJobs({ op, args }: OperationRequest, value: unknown): readonly string[] | null {
  // as: `Store.run` typed the arguments and the answer by the name of the operation.
  switch (op) {
    case 'jobs.project': {
      const { jobs, removed } = args as Parameters<Operations['jobs.project']>[1];
      return [...jobs.map(({ id }) => id), ...removed];
    }
    case 'jobs.delete':
      return [(args as Parameters<Operations['jobs.delete']>[1]).id];
    case 'retention.sweep':
      return (value as ReturnType<Operations['retention.sweep']>).jobs > 0 ? null : [];
    default:
      return [];
  }
}
