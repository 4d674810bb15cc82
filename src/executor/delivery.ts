import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Outage } from '../outage.ts';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { Claims, Finish } from '../records/ports.ts';
import type { Ledger } from './ports.ts';

/**
 * Delivers outcomes to the ledger and then to the job records: at once, or later when one of them
 * fails. An outcome stays in memory until both have it. There are only a few, because nothing new
 * is started while the ledger fails.
 */
export interface Delivery {
  /** Stores and sends the outcome of an execution that has ended. Never rejects. */
  settle(finish: Finish, sessionTokens: TokenCounts | null): Promise<void>;
  /** Sends an outcome that the ledger has already. Never rejects. */
  deliver(finish: Finish): Promise<void>;
  /** Retries the outcomes that failed before, in order. */
  drain(): Promise<void>;
  /** Whether the outcome of this execution is being delivered. Such an execution is not lost. */
  holds(executionId: string): boolean;
}

/** An outcome that is being delivered. */
interface Pending {
  readonly finish: Finish;
  readonly sessionTokens: TokenCounts | null;
  /** An attempt is under way. */
  busy: boolean;
  written: boolean;
  /** The answer of the job record. */
  finished: Awaited<ReturnType<Claims['finish']>> | null;
}

export function createDelivery(options: {
  readonly claims: Pick<Claims, 'finish'>;
  readonly ledger: Pick<Ledger, 'delivered' | 'ended'>;
  readonly ledgerOutage: Outage;
  /** An outcome was refused: another node ended the execution, or Redis has forgotten the job. */
  onSuperseded(): void;
  /** The outcome of a job has been sent to its record. Later requests to Redis come after it. */
  onSent(jobId: string): void;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
}): Delivery {
  const { claims, ledger, ledgerOutage, logger, failpoint } = options;
  const pending = new Map<string, Pending>();

  async function write(one: Pending): Promise<void> {
    try {
      await ledger.ended(one.finish, one.sessionTokens);
      one.written = true;
      ledgerOutage.worked();
    } catch (error) {
      if (isLedgerTrouble(error)) ledgerOutage.failed(error.message);
      else {
        logger.error({ jobId: one.finish.jobId, reason: messageOf(error) }, 'the ledger refused an outcome');
        one.written = true; // a retry would be refused too
      }
    }
  }

  async function send(one: Pending): Promise<void> {
    const { finish } = one;
    const { jobId, executionId } = finish;
    await failpoint('delivery.recorded');
    const sent = claims.finish(finish);
    options.onSent(jobId);
    one.finished = await sent;
    await failpoint('delivery.finished');
    if (one.finished === 'superseded') {
      logger.warn({ jobId, executionId }, 'an outcome came too late and was refused');
      options.onSuperseded();
    } else logger.debug({ jobId, executionId, status: finish.outcome.status }, 'execution finished');
  }

  /** Redis gets the outcome although the ledger cannot be written: the result must not be lost. */
  async function advance(one: Pending): Promise<void> {
    const { executionId } = one.finish;
    if (one.busy) return;
    one.busy = true;
    try {
      if (!one.written) await write(one);
      if (one.finished === null) await send(one);
    } finally {
      one.busy = false;
    }
    if (!one.written) return;
    pending.delete(executionId);
    ledger
      .delivered(executionId, one.finished === 'superseded')
      .catch((error: unknown) =>
        logger.error({ reason: messageOf(error) }, 'the ledger could not be written'),
      );
  }

  async function begin(one: Pending): Promise<void> {
    pending.set(one.finish.executionId, one);
    try {
      await advance(one);
    } catch (error) {
      logger.warn({ jobId: one.finish.jobId, reason: messageOf(error) }, 'an outcome waits in the outbox');
    }
  }

  return {
    settle: (finish, sessionTokens) =>
      begin({ finish, sessionTokens, busy: false, written: false, finished: null }),
    deliver: (finish) => begin({ finish, sessionTokens: null, busy: false, written: true, finished: null }),
    async drain() {
      // The ledger keeps outcomes over a stop, including while Redis is away.
      for (const one of pending.values()) if (!one.written && !one.busy) await write(one);
      let failure: unknown = null;
      for (const one of pending.values()) {
        try {
          await advance(one);
        } catch (error) {
          failure ??= error;
          // Without Redis none can be sent. Other errors may concern this outcome alone.
          if (error instanceof AppError && error.code === 'redis.unavailable') break;
        }
      }
      if (failure !== null) throw failure;
    },
    holds: (executionId) => pending.has(executionId),
  };
}
