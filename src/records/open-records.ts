import type { Logger } from 'pino';
import type { Settings } from '../config/schema.ts';
import type { ReportDamage } from '../damage.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { createRedisDoorbells } from '../redis/doorbells.ts';
import type { Names } from '../redis/names.ts';
import { realRoots } from '../workspace.ts';
import { createBatchRecords } from './batch-records.ts';
import { createClaims } from './claims.ts';
import { createJobRecords } from './job-records.ts';
import type { BatchRecords, Claims, JobRecords, Upkeep } from './ports.ts';
import { createScriptRunner } from './script-runner.ts';
import { createUpkeep } from './upkeep.ts';

/** What the main process sees of the records, for one node. */
export interface Rpc {
  readonly records: JobRecords;
  readonly batchRecords: BatchRecords;
  readonly claims: Claims;
  readonly upkeep: Upkeep;
  readonly doorbells: Doorbells;
}

export async function openRpc(options: {
  readonly redis: RedisConnections;
  readonly names: Names;
  readonly nodeId: string;
  readonly settings: Settings;
  /** Real paths of further roots, asked at each claim; null: the settings name them all. */
  readonly moreRoots: (() => readonly string[]) | null;
  readonly report: ReportDamage;
  readonly logger: Logger;
}): Promise<Rpc> {
  const { redis, names, nodeId, settings, report, logger } = options;
  const scripts = createScriptRunner(redis.commands, names.prefix, {
    ...settings,
    keepFinishedMs: settings.keepInRedisMs,
  });
  const real = await realRoots(settings.roots);
  const { moreRoots } = options;
  // A private Redis has this server alone: a job in a folder it does not allow would wait for ever, and is refused. The
  // server of one command leaves it to those that come after it.
  const alone = settings.redisUrl === null && moreRoots === null;
  const roots = alone ? null : (): readonly string[] => [...real, ...(moreRoots?.() ?? [])];
  return {
    records: createJobRecords(redis.commands, names, scripts, report),
    batchRecords: createBatchRecords(scripts, report),
    claims: createClaims(
      scripts,
      nodeId,
      { leaseMs: settings.leaseMs, leaderMs: settings.leaseMs },
      roots,
      report,
    ),
    upkeep: createUpkeep(redis.commands, names, scripts, nodeId, settings.retryBackoffMs),
    doorbells: createRedisDoorbells(redis.commands, redis.subscriber, logger),
  };
}
