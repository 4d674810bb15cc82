import type { Logger } from 'pino';
import { AppError, messageOf } from '../errors.ts';
import type { Failpoint } from '../failpoint.ts';
import type { Claims, Finish } from '../rpc/ports.ts';
import type { Ledger } from './ledger.ts';

/** Brings outcomes from the ledger to the job records: at once, or later when Redis refuses. */
export interface Delivery {
  deliver(finish: Finish): Promise<void>;
  /** Tries what was refused before, in order. */
  drain(): Promise<void>;
}

export function createDelivery(options: {
  readonly claims: Pick<Claims, 'finish'>;
  readonly ledger: Pick<Ledger, 'delivered'>;
  /** An outcome was refused: another node ended the execution, or Redis has forgotten the job. */
  onSuperseded(): void;
  /** The outcome of a job has been sent to its record: what is asked of Redis from now on comes after it. */
  onSent(jobId: string): void;
  readonly logger: Logger;
  readonly failpoint: Failpoint;
}): Delivery {
  const { claims, ledger, logger, failpoint } = options;
  const refused = new Map<string, Finish>();

  async function tryOnce(finish: Finish): Promise<void> {
    const { jobId, executionId } = finish;
    await failpoint('delivery.recorded');
    const sent = claims.finish(finish);
    options.onSent(jobId);
    const result = await sent;
    await failpoint('delivery.finished');
    refused.delete(executionId);
    if (result === 'superseded') {
      logger.warn({ jobId, executionId }, 'an outcome came too late and was refused');
      options.onSuperseded();
    } else logger.debug({ jobId, executionId, status: finish.outcome.status }, 'execution finished');
    ledger
      .delivered(executionId, result === 'superseded')
      .catch((error: unknown) =>
        logger.error({ reason: messageOf(error) }, 'the ledger could not be written'),
      );
  }

  return {
    async deliver(finish) {
      try {
        await tryOnce(finish);
      } catch (error) {
        refused.set(finish.executionId, finish);
        logger.warn({ jobId: finish.jobId, reason: messageOf(error) }, 'an outcome waits in the outbox');
      }
    },
    async drain() {
      let failure: unknown = null;
      for (const finish of refused.values()) {
        try {
          await tryOnce(finish);
        } catch (error) {
          failure ??= error;
          // Nothing gets through now; anything else may be the matter of this one alone.
          if (error instanceof AppError && error.code === 'redis.unavailable') break;
        }
      }
      if (failure !== null) throw failure;
    },
  };
}
