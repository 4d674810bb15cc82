import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { AppError, messageOf } from '../errors.ts';
import { siblingModule } from '../sibling-module.ts';
import { isDurable, isUnhurried, type OperationName, type Operations } from './operations.ts';
import type {
  FromThread,
  OperationReply,
  OperationRequest,
  ThreadError,
  ToThread,
} from './thread-messages.ts';

/** How long a change nobody waits for may wait for another one. */
const UNHURRIED_MS = 100;

/**
 * The ledger. Calls never block the event loop; what changed something is on the disk when it resolves, except that a
 * power failure may take the newest of the projection, which is then made again.
 */
export interface Store {
  /**
   * @throws AppError store.unavailable while the disk does not take it (full, failing, locked by another
   * program) and after `close`; what the operation itself throws; internal.error
   */
  run<K extends OperationName>(op: K, args: Parameters<Operations[K]>[1]): Promise<ReturnType<Operations[K]>>;
  /** Since the start. Many operations share a commit. */
  stats(): { readonly operations: number; readonly commits: number; readonly pending: number };
  /** Finishes what was asked for, closes the file, ends the thread. Idempotent. */
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Path of the SQLite file. Its folder exists and is locked by the caller. */
  readonly file: string;
  /** Told of rows that cannot be read. */
  readonly report?: ReportDamage;
  readonly logger: Logger;
}

interface Waiter {
  readonly op: OperationName;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AppError) => void;
}

/** Starts the store's thread. Throws AppError config.invalid when the file cannot be used. */
export async function openStore({ file, report, logger }: StoreOptions): Promise<Store> {
  const log = logger.child({ component: 'store' });
  const thread = new Worker(siblingModule(import.meta.url, './store-thread'), {
    workerData: file,
    name: 'store',
  });
  const waiters = new Map<number, Waiter>();
  const counts = { operations: 0, commits: 0 };
  let gone: string | null = null;
  let closing: Promise<void> | null = null;

  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  thread.on('message', (message: FromThread) => {
    if (message.kind === 'ready') started.resolve();
    else if (message.kind === 'refused') started.reject(toAppError(message.error));
    else {
      counts.commits += message.commits;
      for (const damage of message.damaged) report?.(damage);
      for (const reply of message.replies) settle(reply);
    }
  });
  thread.on('error', (error) => {
    log.error({ err: error }, 'store thread failed');
    fail(`its thread failed: ${messageOf(error)}`);
  });
  thread.on('exit', () => {
    fail('it is closed');
    ended.resolve();
  });

  function fail(reason: string): void {
    gone ??= reason;
    const error = unavailable(gone);
    started.reject(error);
    letGo();
    for (const waiter of waiters.values()) waiter.reject(error);
    waiters.clear();
  }

  function settle(reply: OperationReply): void {
    const waiter = waiters.get(reply.id);
    waiters.delete(reply.id);
    if (waiter === undefined) return;
    if (reply.ok) {
      waiter.resolve(reply.value);
      return;
    }
    const { code, message } = reply.error;
    if (code === 'internal.error') log.error({ op: waiter.op, error: message }, 'store operation failed');
    waiter.reject(toAppError(reply.error));
  }

  const send = (message: ToThread): void => thread.postMessage(message);
  /** Asked for, not sent: they go out with the next one, in order. */
  let held: OperationRequest[] = [];
  let holding: NodeJS.Timeout | null = null;

  /** Each message wakes the thread, and each batch of changes is a wait for the disk. */
  function sendWith(request: OperationRequest): void {
    send({ kind: 'run', requests: [...held, request] }); // throws when it cannot be cloned: the others stay held
    letGo();
  }

  function sendHeld(): void {
    if (held.length > 0) send({ kind: 'run', requests: held });
    letGo();
  }

  function letGo(): void {
    held = [];
    if (holding !== null) clearTimeout(holding);
    holding = null;
  }

  const store: Store = {
    run(op, args) {
      return new Promise((resolve, reject) => {
        if (gone !== null) throw unavailable(gone);
        const id = counts.operations++;
        const request: OperationRequest = { id, op, args, durable: isDurable(op) };
        if (isUnhurried(op)) {
          held.push(request);
          holding ??= setTimeout(sendHeld, UNHURRIED_MS);
        } else sendWith(request);
        // as: the thread answers with what the operation of this name returned.
        waiters.set(id, {
          op,
          resolve: (value) => resolve(value as ReturnType<Operations[typeof op]>),
          reject,
        });
      });
    },
    stats: () => ({ ...counts, pending: waiters.size }),
    close() {
      closing ??= (async () => {
        gone ??= 'it is closed';
        sendHeld();
        send({ kind: 'close' });
        await ended.promise;
      })();
      return closing;
    },
  };

  try {
    await started.promise;
    return store;
  } catch (error) {
    await ended.promise;
    throw error;
  }
}

const unavailable = (reason: string): AppError =>
  new AppError('store.unavailable', `the ledger cannot be used: ${reason}`);

function toAppError({ code, message, problems }: ThreadError): AppError {
  if (code !== 'internal.error') return new AppError(code, message, { problems });
  return new AppError(code, 'the ledger failed; the server log has it', { cause: new Error(message) });
}
