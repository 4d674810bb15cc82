/** A thread that runs operations on the ledger, and those who wait for its answers. */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { ReportDamage } from '../damage.ts';
import { AppError, messageOf } from '../errors.ts';
import type { OperationName } from './operations.ts';
import type {
  FromThread,
  OperationReply,
  OperationRequest,
  ThreadError,
  ToThread,
} from './thread-messages.ts';

interface Waiter {
  readonly op: OperationName;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AppError) => void;
}

export interface StoreThread {
  send(message: ToThread): void;
  /** What becomes of a request that is sent, now or later. */
  wait(request: OperationRequest, resolve: Waiter['resolve'], reject: Waiter['reject']): void;
  /** @throws AppError store.unavailable when it takes nothing any more */
  refuseIfGone(): void;
  readonly commits: number;
  readonly pending: number;
  /** Resolves with why it has ended. Never rejects. */
  readonly ended: Promise<string>;
  /** Takes nothing more, finishes what was asked for and ends. */
  close(): Promise<void>;
}

/** Resolves once the thread is ready. Throws AppError when it cannot use the file. */
export async function startThread({
  module,
  file,
  name,
  report,
  logger,
}: {
  readonly module: URL;
  readonly file: string;
  readonly name: string;
  /** Told of rows that cannot be read. */
  readonly report: ReportDamage;
  readonly logger: Logger;
}): Promise<StoreThread> {
  const thread = new Worker(module, { workerData: file, name });
  const waiters = new Map<number, Waiter>();
  let commits = 0;
  let gone: string | null = null;

  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  thread.on('message', (message: FromThread) => {
    switch (message.kind) {
      case 'ready':
        return started.resolve();
      case 'refused':
        return started.reject(toAppError(message.error));
      case 'trouble':
        return logger.warn({ reason: message.message }, 'the search index cannot be used: searches are slow');
      case 'replies':
        commits += message.commits;
        for (const damage of message.damaged) report(damage);
        for (const reply of message.replies) settle(reply);
    }
  });
  thread.on('error', (error) => {
    logger.error({ err: error, thread: name }, 'store thread failed');
    fail(`its thread failed: ${messageOf(error)}`);
  });
  thread.on('exit', () => {
    ended.resolve(fail('its thread ended'));
  });

  function fail(reason: string): string {
    gone ??= reason;
    const error = unavailable(gone);
    started.reject(error);
    for (const waiter of waiters.values()) waiter.reject(error);
    waiters.clear();
    return gone;
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
    if (code === 'internal.error') logger.error({ op: waiter.op, error: message }, 'store operation failed');
    waiter.reject(toAppError(reply.error));
  }

  try {
    await started.promise;
  } catch (error) {
    await ended.promise;
    throw error;
  }
  return {
    send: (message) => thread.postMessage(message),
    wait: ({ id, op }, resolve, reject) => void waiters.set(id, { op, resolve, reject }),
    refuseIfGone() {
      if (gone !== null) throw unavailable(gone);
    },
    get commits() {
      return commits;
    },
    get pending() {
      return waiters.size;
    },
    ended: ended.promise,
    async close() {
      gone ??= 'it is closed';
      thread.postMessage({ kind: 'close' } satisfies ToThread);
      await ended.promise;
    },
  };
}

export const unavailable = (reason: string): AppError =>
  new AppError('store.unavailable', `the ledger cannot be used: ${reason}`);

function toAppError({ code, message, problems }: ThreadError): AppError {
  if (code !== 'internal.error') return new AppError(code, message, { problems });
  return new AppError(code, 'the ledger failed; the server log has it', { cause: new Error(message) });
}
