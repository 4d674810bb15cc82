import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { createOutage, supervise } from '../outage.ts';
import { siblingModule } from '../sibling-module.ts';
import { isDeferrable, isReport, type OperationName, type Operations } from './operations.ts';
import type { OperationRequest } from './thread.ts';
import { type StoreThread, startThread, unavailable } from './thread.ts';

/**
 * How long a deferrable write may wait for the next one: for the copy of its job, which the copier
 * makes after 250 ms.
 */
const DEFER_MS = 500;

/**
 * The SQLite database. Calls never block the event loop. A write is on the disk when it resolves,
 * except that a power failure may lose the newest copies, which are then made again. Lists,
 * searches and reports run in a thread of their own, so no write waits for them. They see every
 * write that resolved before they were called.
 */
export interface Store {
  /**
   * @throws AppError store.unavailable while the disk refuses writes (full, failing, locked by
   * another program) and after `close`; internal.error; the errors of the operation itself
   */
  run<K extends OperationName>(op: K, args: Parameters<Operations[K]>[1]): Promise<ReturnType<Operations[K]>>;
  /** Counts since the start. Many operations share a commit. */
  stats(): { readonly operations: number; readonly commits: number; readonly pending: number };
  /** Finishes the accepted operations, closes the file and ends the threads. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts the writer's thread. When it fails, its open requests fail too, and another one is
 * started.
 * @throws AppError config.invalid when the file cannot be used
 */
export async function openStore({
  file,
  report = () => undefined,
  logger,
}: {
  /** Path of the SQLite file. Its folder exists and is locked by the caller. */
  readonly file: string;
  /** Called with each row that cannot be read. */
  readonly report?: ReportDamage;
  readonly logger: Logger;
}): Promise<Store> {
  const log = logger.child({ component: 'store' });
  const start = (name: string, module: string): Promise<StoreThread> =>
    startThread({ module: siblingModule(import.meta.url, module), file, name, report, logger: log });
  const startWriter = () => start('store', './writer-thread');
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
  /** Started by the first list or report. */
  let reader: Promise<StoreThread> | null = null;
  let operations = 0;
  let closing: Promise<void> | null = null;

  /** Deferred writes. They are sent before the next request, in order. */
  let deferred: OperationRequest[] = [];
  let timer: NodeJS.Timeout | null = null;

  function send(request: OperationRequest): void {
    // Throws when the request cannot be cloned. The deferred ones then stay deferred.
    writer.send({ kind: 'run', requests: [...deferred, request] });
    clearDeferred();
  }

  function sendDeferred(): void {
    if (deferred.length > 0) writer.send({ kind: 'run', requests: deferred });
    clearDeferred();
  }

  function clearDeferred(): void {
    deferred = [];
    if (timer !== null) clearTimeout(timer);
    timer = null;
  }

  function startReader(): Promise<StoreThread> {
    if (reader !== null) return reader;
    const forget = (): void => {
      reader = null; // the next report starts another one
    };
    reader = start('reader', './reader-thread');
    reader.then(({ ended }) => ended).then(forget, forget);
    return reader;
  }

  function refuseIfClosed(): void {
    if (closing !== null) throw unavailable('it is closed');
    writer.refuseIfEnded();
  }

  function write(request: OperationRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      refuseIfClosed();
      if (isDeferrable(request.op)) {
        deferred.push(request);
        timer ??= setTimeout(sendDeferred, DEFER_MS);
      } else send(request);
      writer.wait(request, resolve, reject);
    });
  }

  async function read(request: OperationRequest): Promise<unknown> {
    refuseIfClosed();
    const thread = await startReader();
    return new Promise((resolve, reject) => {
      thread.refuseIfEnded();
      thread.send({ kind: 'run', requests: [request] });
      thread.wait(request, resolve, reject);
    });
  }

  /** Reports changed jobs to the search index. */
  async function reportChanges(ids: readonly string[] | null): Promise<void> {
    const thread = await reader?.catch(() => null);
    if (thread && (ids === null || ids.length > 0)) thread.send({ kind: 'changed', ids });
  }

  return {
    async run(op, args) {
      const request: OperationRequest = { id: operations++, op, args };
      // as: the threads reply with the result of the operation of this name.
      const value = (await (isReport(op) ? read(request) : write(request))) as ReturnType<
        Operations[typeof op]
      >;
      if (reader !== null) void reportChanges(changedJobs(request, value));
      return value;
    },
    stats: () => ({ operations, commits: writer.commits, pending: writer.pending }),
    close() {
      closing ??= (async () => {
        sendDeferred();
        stopping.abort();
        await supervision;
        // The writer closes last: only it can move the write-ahead log into the database.
        if (reader !== null) await (await reader.catch(() => null))?.close();
        await writer.close();
      })();
      return closing;
    },
  };
}

/** Returns the jobs that the operation may have added, changed or removed; null: any job. */
function changedJobs({ op, args }: OperationRequest, value: unknown): readonly string[] | null {
  // as: `Store.run` typed the arguments and the result by the name of the operation.
  switch (op) {
    case 'copies.apply': {
      const { jobs, removed } = args as Parameters<Operations['copies.apply']>[1];
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
