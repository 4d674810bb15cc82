/**
 * The records and doorbells in memory: the protocol without Redis. It is the scripts' executable
 * specification (one contract suite runs against both, and random sequences of steps must give the
 * same) and what tests use that need a clock of their own. It has no timers: time passes when `now`
 * says so.
 */
import type { BatchRecords, Claims, JobRecords, Submissions, Upkeep } from '../../../src/records/ports.ts';
import { createFakeDoorbells, type FakeDoorbells } from '../doorbells.ts';
import { createMemoryBatchRecords } from './batch-records.ts';
import { createMemoryClaims } from './claims.ts';
import { createMemoryJobRecords } from './job-records.ts';
import { createMemoryState, type LogEntry } from './state.ts';
import { createMemorySubmissions } from './submissions.ts';
import { createMemoryUpkeep } from './upkeep.ts';

export interface MemoryRpcOptions {
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** Milliseconds since the epoch. Default: the clock of the machine. */
  now?(): number;
  /** How long a claim holds without being renewed. Default 15 s. */
  readonly leaseMs?: number;
  /** Silence after which another node answers raw requests. Default: `leaseMs`. */
  readonly leaderMs?: number;
  /** Before the next attempt of a job that was lost. Default 5 s. */
  readonly backoffMs?: number;
  /** How long a finished job is kept. Default 24 h. */
  readonly keepFinishedMs?: number;
}

export interface MemoryRpc {
  readonly records: JobRecords;
  readonly batches: BatchRecords;
  readonly submissions: Submissions;
  readonly doorbells: FakeDoorbells;
  claimsOf(node: string, roots?: readonly string[]): Claims;
  upkeepOf(node: string): Upkeep;
  /** Channel that says "this job has events up to seq". */
  liveChannel(jobId: string): string;
  /** Every change of a record, in order. */
  readonly log: readonly LogEntry[];
}

const DAY_MS = 24 * 60 * 60 * 1000;

export function createMemoryRpc(options: MemoryRpcOptions): MemoryRpc {
  const { requestChannel, responseChannel, now = Date.now, leaseMs = 15_000, backoffMs = 5000 } = options;
  const { leaderMs = leaseMs, keepFinishedMs = DAY_MS } = options;
  const liveChannel = (jobId: string): string => `live:${jobId}`;
  const doorbells = createFakeDoorbells();
  const state = createMemoryState(
    { requestChannel, responseChannel, keepFinishedMs, liveChannel },
    now,
    doorbells.send,
  );
  return {
    records: createMemoryJobRecords(state),
    batches: createMemoryBatchRecords(state),
    submissions: createMemorySubmissions(state),
    doorbells,
    claimsOf: (node, roots) => createMemoryClaims(state, node, { leaseMs, leaderMs }, roots ?? null),
    upkeepOf: (node) => createMemoryUpkeep(state, node, backoffMs),
    liveChannel,
    log: state.log,
  };
}
