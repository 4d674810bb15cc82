import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Outage } from '../outage.ts';
import type { TokenCounts } from '../protocol/outcome.ts';
import type { Claims, Finish } from '../records/ports.ts';
import type { Ledger } from './ports.ts';

/**
 * Brings outcomes to the ledger and to the job records: at once, or later when either refuses. Until both have it an
 * outcome is kept in memory. Those are few: while the ledger refuses nothing new is started.
 */
export interface Delivery {
  /** An execution has ended. Never rejects. */
  settle(finish: Finish, sessionTokens: TokenCounts | null): Promise<void>;
  /** The same for an outcome the ledger has already. */
  deliver(finish: Finish): Promise<void>;
  /** Tries what was refused before, in order. */
  drain(): Promise<void>;
  /** Whether the outcome of this execution is on its way: then it is neither unknown nor lost. */
  holds(executionId: string): boolean;
}

/** An outcome on its way. */
interface Kept {
  readonly finish: Finish;
  readonly sessionTokens: TokenCounts | null;
  /** It is being brought there now. */
  busy: boolean;
  written: boolean;
  told: Awaited<ReturnType<Claims['finish']>> | null;
}

export function createDelivery(options: {
  readonly claims: Pick<Claims, 'finish'>;
  readonly ledger: Pick<Ledger, 'delivered' | 'ended'>;
  /** Of the ledger. */
  readonly outage: Outage;
  /** An outcome was refused: another node ended the execution, or Redis has forgotten the job. */
  onSuperseded(): void;
  /** The outcome of a job has been sent to its record: what is asked of Redis from now on comes after it. */
  onSent(jobId: string): void;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
}): Delivery {
  const { claims, ledger, outage, logger, failpoint } = options;
  const kept = new Map<string, Kept>();

  async function write(one: Kept): Promise<void> {
    try {
      await ledger.ended(one.finish, one.sessionTokens);
      one.written = true;
      outage.worked();
    } catch (error) {
      if (isLedgerTrouble(error)) outage.failed(error.message);
      else {
        logger.error({ jobId: one.finish.jobId, reason: messageOf(error) }, 'the ledger refused an outcome');
        one.written = true; // it will not take it later either
      }
    }
  }

  async function tell(one: Kept): Promise<void> {
    const { finish } = one;
    const { jobId, executionId } = finish;
    await failpoint('delivery.recorded');
    const sent = claims.finish(finish);
    options.onSent(jobId);
    one.told = await sent;
    await failpoint('delivery.finished');
    if (one.told === 'superseded') {
      logger.warn({ jobId, executionId }, 'an outcome came too late and was refused');
      options.onSuperseded();
    } else logger.debug({ jobId, executionId, status: finish.outcome.status }, 'execution finished');
  }

  /** A ledger that cannot be written must not lose the result: Redis still gets it. */
  async function advance(one: Kept): Promise<void> {
    const { executionId } = one.finish;
    if (one.busy) return;
    one.busy = true;
    try {
      if (!one.written) await write(one);
      if (one.told === null) await tell(one);
    } finally {
      one.busy = false;
    }
    if (!one.written) return;
    kept.delete(executionId);
    ledger
      .delivered(executionId, one.told === 'superseded')
      .catch((error: unknown) =>
        logger.error({ reason: messageOf(error) }, 'the ledger could not be written'),
      );
  }

  async function begin(one: Kept): Promise<void> {
    kept.set(one.finish.executionId, one);
    try {
      await advance(one);
    } catch (error) {
      logger.warn({ jobId: one.finish.jobId, reason: messageOf(error) }, 'an outcome waits in the outbox');
    }
  }

  return {
    settle: (finish, sessionTokens) =>
      begin({ finish, sessionTokens, busy: false, written: false, told: null }),
    deliver: (finish) => begin({ finish, sessionTokens: null, busy: false, written: true, told: null }),
    async drain() {
      // What is written outlives a stop, also while Redis is away.
      for (const one of kept.values()) if (!one.written && !one.busy) await write(one);
      let failure: unknown = null;
      for (const one of kept.values()) {
        try {
          await advance(one);
        } catch (error) {
          failure ??= error;
          // Nothing gets through now; anything else may be the matter of this one alone.
          if (error instanceof AppError && error.code === 'redis.unavailable') break;
        }
      }
      if (failure !== null) throw failure;
    },
    holds: (executionId) => kept.has(executionId),
  };
}
