import type { Logger } from 'pino';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { sweep } from '../processes/sweep.ts';
import type { Claim, Claims } from '../records/ports.ts';
import type { Delivery } from './delivery.ts';
import { backoffAfter, type LostOptions, lostFinish } from './outcomes.ts';
import type { Ledger } from './ports.ts';
import type { LastingRuns } from './runner.ts';
import { removeScratch } from './start-cli.ts';

/** What the start settled of an earlier run of this node. */
export interface RecoveryReport {
  readonly killedProcesses: number;
  /** Executions without an outcome: they are lost. */
  readonly lost: number;
  /** Outcomes that their job records did not have. */
  readonly redelivered: number;
}

export interface Recovered {
  readonly report: RecoveryReport;
  /** Executions without an outcome that run on another host, or have ended there. */
  readonly goOn: readonly Claim[];
}

/**
 * Settles the executions of an earlier run of this node, before anything new is claimed, except
 * those that go on. It kills their processes first, because a lost execution must not go on. The
 * processes of other nodes have other markers.
 */
export async function recover(options: {
  readonly nodeId: string;
  readonly scratchDir: string;
  readonly scanner: ProcScanner;
  readonly claims: Pick<Claims, 'owned'>;
  readonly ledger: Ledger;
  readonly delivery: Delivery;
  readonly lasting: LastingRuns | null;
  readonly retryBackoffMs: number;
  readonly readEvents: LostOptions['readEvents'];
  readonly maxResultBytes: number;
  readonly logger: Logger;
}): Promise<Recovered> {
  const { ledger, delivery, lasting, readEvents, maxResultBytes } = options;
  const swept = await sweep(`${options.nodeId}/`, { scanner: options.scanner });
  await removeScratch(options.scratchDir, options.logger);
  const { outbox, unsettled } = await ledger.open();
  const open = new Set(unsettled.map(({ executionId }) => executionId));
  const owned = lasting === null || open.size === 0 ? [] : await options.claims.owned();
  const goOn = owned.filter(({ executionId }) => open.has(executionId));
  for (const { executionId } of goOn) open.delete(executionId);
  // Another node has ended these. Their processes end first.
  await Promise.all([...open].map((executionId) => lasting?.abandon(executionId)));
  const lost = unsettled.filter(({ executionId }) => open.has(executionId));
  for (const { jobId, executionId } of lost) {
    const backoffMs = backoffAfter(1, options.retryBackoffMs);
    const finish = await lostFinish({ jobId, executionId, backoffMs }, { readEvents, maxResultBytes });
    await ledger.ended(finish);
    await delivery.deliver(finish);
  }
  for (const finish of outbox) await delivery.deliver(finish);
  return {
    report: { killedProcesses: swept.killed.length, lost: lost.length, redelivered: outbox.length },
    goOn,
  };
}
