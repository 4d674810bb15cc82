import type { Logger } from 'pino';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { sweep } from '../processes/sweep.ts';
import type { Delivery } from './delivery.ts';
import { backoffAfter, type LostOptions, lostFinish } from './lost.ts';
import type { Ledger } from './ports.ts';
import { removeScratch } from './scratch.ts';

/** What an earlier run of this node had left behind. */
export interface RecoveryReport {
  readonly killedProcesses: number;
  /** Executions without an outcome, ended as lost. */
  readonly lost: number;
  /** Outcomes whose job record did not have them. */
  readonly redelivered: number;
}

/**
 * Settles what an earlier run left behind, before anything new is claimed: its processes are ended first, so
 * that what is told as lost does not go on. Another node's processes carry another marker and are not touched.
 */
export async function recover(options: {
  readonly nodeId: string;
  readonly scratchDir: string;
  readonly scanner: ProcScanner;
  readonly ledger: Ledger;
  readonly delivery: Delivery;
  readonly retryBackoffMs: number;
  readonly readEvents: LostOptions['readEvents'];
  readonly maxResultBytes: number;
  readonly logger: Logger;
}): Promise<RecoveryReport> {
  const { ledger, delivery } = options;
  const swept = await sweep(`${options.nodeId}/`, { scanner: options.scanner });
  await removeScratch(options.scratchDir, options.logger);
  const { outbox, unsettled } = await ledger.open();
  for (const { jobId, executionId } of unsettled) {
    const backoffMs = backoffAfter(1, options.retryBackoffMs);
    const finish = await lostFinish({ jobId, executionId, backoffMs }, options);
    await ledger.ended(finish);
    await delivery.deliver(finish);
  }
  for (const finish of outbox) await delivery.deliver(finish);
  return { killedProcesses: swept.killed.length, lost: unsettled.length, redelivered: outbox.length };
}
