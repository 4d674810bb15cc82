import type { Logger } from 'pino';
import type { KeyRecords } from '../auth/ports.ts';
import type { Signer } from '../auth/signer.ts';
import type { Settings } from '../config/schema.ts';
import type { ReportDamage } from '../damage.ts';
import type { Preferences } from '../http/ports.ts';
import type { RedisConnections } from '../redis/connection.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { createRedisDoorbells } from '../redis/doorbells.ts';
import type { Names } from '../redis/names.ts';
import { realRoots } from '../workspace.ts';
import type { ApprovalCopies, Approvals, RunningApprovals, SteerMessages } from './approval-ports.ts';
import { createApprovalRecords, createSteerMessages } from './approval-records.ts';
import { type AuditLog, createAuditLog } from './audit-log.ts';
import type { BatchRecords } from './batch-ports.ts';
import { createBatchRecords } from './batch-records.ts';
import { type ChangeLog, createChangeLog } from './change-log.ts';
import { createClaims } from './claims.ts';
import { createGates, type Gates } from './gate-records.ts';
import { createJobRecords } from './job-records.ts';
import { createKeyRecords } from './key-records.ts';
import { createRequestCounts, type RequestCounts, settledLimits } from './limit-records.ts';
import { createNodeAsks } from './node-asks.ts';
import type { Claims, JobRecords } from './ports.ts';
import { createPreferences } from './preferences.ts';
import { createScriptRunner } from './script-runner.ts';
import type { NodeAsks, SessionRecords, TerminalRecords } from './session-ports.ts';
import { createSessionRecords } from './session-records.ts';
import { createTerminalRecords } from './terminal-records.ts';
import { createUpkeep } from './upkeep.ts';
import type { Upkeep } from './upkeep-ports.ts';

/** The records as the main process uses them, for one node. */
export interface Records {
  readonly records: JobRecords;
  readonly batchRecords: BatchRecords;
  readonly sessionRecords: SessionRecords;
  readonly terminalRecords: TerminalRecords;
  readonly nodeAsks: NodeAsks;
  readonly approvals: Approvals & RunningApprovals & ApprovalCopies;
  readonly messages: SteerMessages;
  readonly changeLog: ChangeLog;
  readonly claims: Claims;
  readonly upkeep: Upkeep;
  readonly gates: Gates;
  readonly keyRecords: KeyRecords;
  readonly requestCounts: RequestCounts;
  readonly auditLog: AuditLog;
  readonly preferences: Preferences;
  readonly doorbells: Doorbells;
}

export async function openRecords(options: {
  readonly redis: RedisConnections;
  readonly names: Names;
  readonly nodeId: string;
  readonly settings: Settings;
  /** Real paths of more roots, read at each claim; null: the settings name all roots. */
  readonly moreRoots: (() => readonly string[]) | null;
  readonly report: ReportDamage;
  /** Null: records are not signed. */
  readonly signer: Signer | null;
  readonly logger: Logger;
}): Promise<Records> {
  const { redis, names, nodeId, settings, report, signer, logger } = options;
  const scripts = createScriptRunner(redis.commands, names.prefix, {
    ...settings,
    keepFinishedMs: settings.keepInRedisMs,
    callerLimits: settledLimits(settings),
  });
  const real = await realRoots(settings.roots);
  const { moreRoots } = options;
  // A private Redis has only this server, so it claims jobs in every folder and refuses those in
  // others than its roots; else they would wait without end. The server of a single command leaves
  // them to later servers.
  const alone = settings.redisUrl === null && moreRoots === null;
  const roots = alone ? null : (): readonly string[] => [...real, ...(moreRoots?.() ?? [])];
  const records = createJobRecords(redis.commands, names, scripts, report, signer);
  const doorbells = createRedisDoorbells(redis.commands, redis.subscriber, logger);
  return {
    records,
    sessionRecords: createSessionRecords(redis.commands, names, scripts, records, report, signer),
    terminalRecords: createTerminalRecords(redis.commands, names, scripts, nodeId),
    nodeAsks: createNodeAsks({
      ...{ redis: redis.commands, names, scripts, doorbells, node: nodeId, signer, logger },
    }),
    batchRecords: createBatchRecords(scripts, report, signer),
    approvals: createApprovalRecords(redis.commands, names, scripts, report, signer),
    messages: createSteerMessages(redis.commands, names, scripts),
    changeLog: createChangeLog(redis.commands, names),
    claims: createClaims(
      scripts,
      nodeId,
      { leaseMs: settings.leaseMs, leaderMs: settings.leaseMs },
      roots,
      report,
      signer,
    ),
    upkeep: createUpkeep(scripts, nodeId, settings.retryBackoffMs),
    gates: createGates(redis.commands, names, scripts),
    requestCounts: createRequestCounts(scripts),
    keyRecords: createKeyRecords(redis.commands, names, scripts, report),
    preferences: createPreferences(redis.commands, names),
    auditLog: createAuditLog(redis.commands, names, nodeId, scripts),
    doorbells,
  };
}
