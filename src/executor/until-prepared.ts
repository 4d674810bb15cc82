/** Preparing takes Redis, the ledger and a process for git: an outage of theirs is no fault of the job. */

import type { Logger } from 'pino';
import { AppError, isLedgerTrouble, isRedisTrouble, messageOf } from '../errors.ts';
import { isShortage } from '../processes/spawn.ts';
import type { Claim } from '../records/ports.ts';
import { pause } from '../timing.ts';
import { type Prepared, type PrepareOptions, prepare } from './prepare.ts';
import { inTime, refusal, refuseIfStopped } from './start-cli.ts';

const ASK_AGAIN_MS = 200;

const passes = (error: unknown): boolean =>
  isRedisTrouble(error) ||
  isLedgerTrouble(error) ||
  isShortage(error) ||
  (error instanceof AppError && error.code === 'execution.lost'); // of the launcher; nothing of the job was started

/**
 * Prepares a claim, however often that has to be tried, for as long as the job may run.
 * @throws AppError for whatever refuses the execution, and when it was stopped meanwhile
 */
export function untilPrepared(
  claim: Claim,
  stop: AbortSignal,
  options: PrepareOptions,
  logger: Logger,
): Promise<Prepared> {
  async function tryOn(stopped: AbortSignal): Promise<Prepared> {
    for (;;) {
      try {
        return await prepare(claim, options);
      } catch (error) {
        if (!passes(error)) throw error;
        logger.debug({ jobId: claim.jobId, reason: messageOf(error) }, 'a claimed execution waits');
      }
      refuseIfStopped(stopped);
      await pause(ASK_AGAIN_MS, stopped);
    }
  }
  const most = options.settings.maxTimeoutMs;
  const limit = Math.min(claim.request.timeoutMs, most); // its request is not checked yet
  return inTime(limit >= 1 ? limit : most, stop, (stopped) =>
    Promise.race([tryOn(stopped), refusal(stopped)]),
  );
}
