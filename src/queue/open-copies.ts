/** Builds what keeps this node's copies of the records, and what restores records from them. */
import type { Logger } from 'pino';
import type { Settings } from '../config/schema.ts';
import type { ReportDamage } from '../damage.ts';
import type { AuditHead } from '../protocol/audit.ts';
import type { Records } from '../records/open-records.ts';
import type { JobRecord } from '../records/ports.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Names } from '../redis/names.ts';
import { type Copier, createCopier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';
import { createReconciler, type Reconciler } from './reconcile.ts';

export interface OpenCopiesOptions
  extends Pick<Records, 'records' | 'batchRecords' | 'sessionRecords' | 'approvals' | 'upkeep'> {
  readonly redis: RedisConnections;
  /** Whether this server is the only one on its Redis. */
  readonly privateRedis: boolean;
  readonly names: Names;
  readonly store: Store;
  readonly settings: Pick<Settings, 'keepInRedisMs'>;
  readonly bootId: string;
  readonly report: ReportDamage;
  onEnded(job: JobRecord): void;
  onAudited(head: AuditHead): Promise<void>;
  /** A logger for each component. */
  component(name: string): Logger;
}

export interface Copies {
  readonly copier: Copier;
  readonly reconciler: Reconciler;
}

export function openCopies(options: OpenCopiesOptions): Copies {
  const { redis, privateRedis, names, records, batchRecords, upkeep, store, settings, bootId } = options;
  const { sessionRecords, approvals, report, onEnded, onAudited, component } = options;
  const reconciler = createReconciler({
    ...{ records, sessions: sessionRecords, upkeep, store, bootId },
    restoreYoungerThanMs: privateRedis ? settings.keepInRedisMs : 0,
    logger: component('reconcile'),
  });
  const copier = createCopier({
    blocking: redis.blocking,
    redis: redis.commands,
    log: names.log,
    eventsKey: names.events,
    ...{ records, batchRecords, sessionRecords, approvals, store, report, onEnded, onAudited },
    onLogReplaced: reconciler.restoreLost,
    onChangesMissed: () => reconciler.endForgotten(),
    onRecordsGone: reconciler.endForgotten,
    logger: component('copies'),
  });
  return { copier, reconciler };
}
