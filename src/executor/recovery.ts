import type { Logger } from 'pino';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { sweep } from '../processes/sweep.ts';
import type { Delivery } from './delivery.ts';
import { backoffAfter, type LostOptions, lostFinish } from './outcomes.ts';
import type { Ledger } from './ports.ts';
import { removeScratch } from './start-cli.ts';

/** What the start settled of an earlier run of this node. */
export interface RecoveryReport {
  readonly killedProcesses: number;
  /** Executions without an outcome: they are lost. */
  readonly lost: number;
  /** Outcomes that their job records did not have. */
  readonly redelivered: number;
}

/**
 * Settles the executions of an earlier run of this node, before anything new is claimed. It kills
 * their processes first, because a lost execution must not go on. The processes of other nodes have
 * other markers.
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
  const { ledger, delivery, readEvents, maxResultBytes } = options;
  const swept = await sweep(`${options.nodeId}/`, { scanner: options.scanner });
  await removeScratch(options.scratchDir, options.logger);
  const { outbox, unsettled } = await ledger.open();
  for (const { jobId, executionId } of unsettled) {
    const backoffMs = backoffAfter(1, options.retryBackoffMs);
    const finish = await lostFinish({ jobId, executionId, backoffMs }, { readEvents, maxResultBytes });
    await ledger.ended(finish);
    await delivery.deliver(finish);
  }
  for (const finish of outbox) await delivery.deliver(finish);
  return { killedProcesses: swept.killed.length, lost: unsettled.length, redelivered: outbox.length };
}
