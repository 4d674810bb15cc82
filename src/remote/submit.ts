/** Brings an execution to the executor on another host, once. */
import type { Logger } from 'pino';
import { AppError, type ErrorCode, messageOf } from '../errors.ts';
import { refuseIfStopped } from '../executor/start-cli.ts';
import type { Submission } from '../protocol/executor-service.ts';
import { backoffMs, pause } from '../timing.ts';
import type { Breaker } from './breaker.ts';
import type { ExecutorClient } from './client.ts';
import { wasNotSent } from './signed-requests.ts';

export const TRIES = { firstMs: 100, maxMs: 1000 };

/** The executor has not taken the execution, and may take it later. */
const NOT_NOW: readonly ErrorCode[] = [
  'queue.full',
  'server.busy',
  'server.stopping',
  'store.unavailable',
  'limit.requests_per_minute',
  'signature.missing',
  'signature.invalid',
  'signature.expired',
];

/** The longest pause that an answer of 429 or 503 may ask for. */
const MAX_PAUSE_MS = 10_000;

/** The pause before the next try. */
export function pauseAfter(error: unknown, failures: number): number {
  const asked = error instanceof AppError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
  return Math.min(Math.max(backoffMs(failures, TRIES), asked), MAX_PAUSE_MS);
}

export interface SubmitOptions {
  readonly client: Pick<ExecutorClient, 'node' | 'submit' | 'known' | 'renew'>;
  readonly breaker: Pick<Breaker, 'call' | 'count' | 'state'>;
  readonly submission: Submission;
  /** How long one that the executor certainly has not may wait for it. */
  readonly timeoutMs: number;
  /** How long one that it may have is asked for. */
  readonly lostAfterMs: number;
  readonly stop: AbortSignal;
  /** Whether one that was never sent may run elsewhere while the breaker is not closed. */
  readonly mayRunHere: boolean;
  readonly logger: Logger;
}

/**
 * `sent`: the executor has it, or may have it and the execution was stopped. `never`: it was never
 * sent, and may run elsewhere.
 */
export type Submitted = 'sent' | 'never';

/**
 * Sends an execution until the executor has it. A request without an answer may have been obeyed:
 * the executor is asked for the execution by its id, and it is sent again, under the same id, only
 * to the same node and when that does not know it.
 * @throws AppError the refusal of the executor; executor.unavailable: it was not sent in time;
 *   execution.lost: it may have been sent, and cannot be asked for; and as `refuseIfStopped`
 */
export async function submit(options: SubmitOptions): Promise<Submitted> {
  const { client, breaker, submission, stop, logger } = options;
  const since = performance.now();
  /** The first try that may have sent it; null: no executor can have it. */
  let sent: { readonly to: string | null; readonly at: number } | null = null;

  const lastSent = () => sent; // TypeScript takes it for null where `send` has set it

  /** Whether the executor has it. @throws AppError execution.lost: another one answers */
  async function asked(): Promise<boolean> {
    try {
      await breaker.count(() => client.renew(submission.id, 0));
      return true;
    } catch (error) {
      if (!isUnknown(error)) throw error;
      if (client.node !== sent?.to) throw otherNode();
      return false;
    }
  }

  async function send(): Promise<void> {
    // The node is known before anything may be lost on the way to it.
    if (client.node === null) await breaker.call(() => client.known());
    const to = client.node;
    try {
      await breaker.call(() => client.submit(submission));
    } catch (error) {
      if (mayHaveArrived(error)) sent ??= { to, at: performance.now() };
      throw error;
    }
  }

  for (let failures = 1; ; failures += 1) {
    try {
      if (sent === null || !(await asked())) await send();
      return 'sent';
    } catch (error) {
      if (!isTemporary(error)) throw error;
      logger.debug({ jobId: submission.jobId, reason: messageOf(error) }, 'an execution was not taken');
      const isHere = options.mayRunHere && breaker.state !== 'closed';
      const last = lastSent();
      if (last === null && isHere) return 'never';
      const now = performance.now();
      if (last === null && now - since > options.timeoutMs) throw waitedInVain(error, options.timeoutMs);
      if (last !== null && now - last.at > options.lostAfterMs) throw noContact(options.lostAfterMs, error);
      await pause(pauseAfter(error, failures), stop);
    }
    if (!stop.aborted) continue;
    if (sent === null) refuseIfStopped(stop);
    return 'sent';
  }
}

export const isUnknown = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'execution.not_found';

/** Something on the way has sent the request twice: the first one may have been obeyed. */
const isRepeated = ({ code }: AppError): boolean => code === 'signature.replayed';

/** Whether a request without an answer, or with an answer of a failure, may have been obeyed. */
const mayHaveArrived = (error: unknown): boolean =>
  error instanceof AppError &&
  (isRepeated(error) || (error.status >= 500 && !NOT_NOW.includes(error.code) && !wasNotSent(error)));

/** Whether the same request may succeed later. */
export const isTemporary = (error: unknown): boolean =>
  error instanceof AppError &&
  error.code !== 'execution.lost' &&
  (error.status >= 500 || isRepeated(error) || NOT_NOW.includes(error.code));

export const otherNode = (): AppError =>
  new AppError(
    'execution.lost',
    'another executor answers now, with another data folder: it does not know the execution',
  );

export const notKnown = (): AppError =>
  new AppError('execution.lost', 'the executor does not know the execution');

export const noContact = (ms: number, error: unknown): AppError =>
  new AppError(
    'execution.lost',
    `the executor that may run it could not be asked for it for ${ms} ms: ${messageOf(error)}`,
    { cause: error },
  );

const waitedInVain = (error: unknown, ms: number): AppError =>
  new AppError('executor.unavailable', `the execution waited ${ms} ms: ${messageOf(error)}`, {
    cause: error,
  });
