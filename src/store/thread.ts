/** A thread of the store as the main thread sees it, and the messages between them. */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Damage, ReportDamage } from '../damage.ts';
import { AppError, type ErrorCode, messageOf, type Problem } from '../errors.ts';
import { compileCacheVariable } from '../sibling-module.ts';
import type { OperationName } from './operations.ts';

interface Waiter {
  readonly op: OperationName;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: AppError) => void;
}

export interface StoreThread {
  send(message: ToThread): void;
  /** Registers the callbacks for the reply to a request, which may be sent later. */
  wait(request: OperationRequest, resolve: Waiter['resolve'], reject: Waiter['reject']): void;
  /** @throws AppError store.unavailable when the thread has ended or is closing */
  refuseIfEnded(): void;
  readonly commits: number;
  readonly pending: number;
  /** Resolves with the reason when the thread has ended. Never rejects. */
  readonly ended: Promise<string>;
  /** Refuses new requests, finishes the accepted ones and ends the thread. */
  close(): Promise<void>;
}

/**
 * Starts a thread and resolves when it is ready.
 * @throws AppError when it cannot use the file
 */
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
  /** Called with each row that cannot be read. */
  readonly report: ReportDamage;
  readonly logger: Logger;
}): Promise<StoreThread> {
  const thread = new Worker(module, { workerData: file, name, env: compileCacheVariable() });
  const waiters = new Map<number, Waiter>();
  let commits = 0;
  let endReason: string | null = null;

  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  thread.on('message', (message: FromThread) => {
    switch (message.kind) {
      case 'ready':
        return started.resolve();
      case 'refused':
        return started.reject(toAppError(message.error));
      case 'indexFailed':
        return logger.warn({ reason: message.message }, 'the search index cannot be used; searches are slow');
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
    endReason ??= reason;
    const error = unavailable(endReason);
    started.reject(error);
    for (const waiter of waiters.values()) waiter.reject(error);
    waiters.clear();
    return endReason;
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
    refuseIfEnded() {
      if (endReason !== null) throw unavailable(endReason);
    },
    get commits() {
      return commits;
    },
    get pending() {
      return waiters.size;
    },
    ended: ended.promise,
    async close() {
      endReason ??= 'it is closed';
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

/** An error of an operation, as data. */
export interface ThreadError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly problems: readonly Problem[];
}

export interface OperationRequest {
  readonly id: number;
  readonly op: OperationName;
  readonly args: unknown;
}

export type OperationReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly error: ThreadError };

export type ToThread =
  /** In the order of the calls. */
  | { readonly kind: 'run'; readonly requests: readonly OperationRequest[] }
  /** To the reader: these jobs were added, changed or removed; null: any job. */
  | { readonly kind: 'changed'; readonly ids: readonly string[] | null }
  | { readonly kind: 'close' };

export type FromThread =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly error: ThreadError }
  | { readonly kind: 'indexFailed'; readonly message: string }
  | {
      readonly kind: 'replies';
      readonly replies: readonly OperationReply[];
      readonly commits: number;
      readonly damaged: readonly Damage[];
    };
