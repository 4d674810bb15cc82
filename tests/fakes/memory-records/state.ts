import type { NewBatch } from '../../../src/records/ports.ts';
import type { MemoryJob } from './memory-job.ts';
import { createSortedIds, type SortedIds } from './sorted-ids.ts';

export interface MemorySettings {
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** How long a finished job is kept. */
  readonly keepFinishedMs: number;
  /** Channel that says "this job has events up to seq". */
  liveChannel(jobId: string): string;
}

/** One entry of the log of record changes: `j` changed, `d` deleted. */
export type LogEntry = readonly [kind: 'j' | 'd', jobId: string];

/** Everything the records are made of: what the Redis keys of docs/protocol.md hold. */
export interface MemoryState {
  readonly settings: MemorySettings;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Gives how many listen. */
  publish(channel: string, message: string): number;
  /** A job's record; null when there is none, or no more. */
  find(id: string): MemoryJob | null;
  add(job: MemoryJob): void;
  delete(id: string): void;
  /** Submitted and unclaimed; for one node only, or for any. */
  pendingOf(pin: string | null): SortedIds;
  lane(name: string): SortedIds;
  /** Those of the pending that only one node may run, by when they became pending. */
  readonly pinned: SortedIds;
  readonly running: SortedIds;
  readonly awaiting: SortedIds;
  readonly expiries: SortedIds;
  readonly nodes: SortedIds;
  readonly log: LogEntry[];
  readonly idempotency: Map<
    string,
    { readonly jobId: string; readonly fingerprint: string; readonly until: number }
  >;
  readonly batches: Map<string, MemoryBatch>;
  /** The node that answers raw requests. */
  leader: string | null;
}

/** A batch and the jobs that were added to it. */
export interface MemoryBatch {
  readonly batch: NewBatch;
  readonly jobs: string[];
  /** When it is forgotten. */
  readonly goneAt: number;
}

export function createMemoryState(
  settings: MemorySettings,
  now: () => number,
  publish: MemoryState['publish'],
): MemoryState {
  const jobs = new Map<string, MemoryJob>();
  const pending = new Map<string | null, SortedIds>();
  const lanes = new Map<string, SortedIds>();
  const at = <K>(map: Map<K, SortedIds>, key: K): SortedIds => {
    const known = map.get(key) ?? createSortedIds();
    map.set(key, known);
    return known;
  };
  return {
    settings,
    now,
    publish,
    find(id) {
      const job = jobs.get(id) ?? null;
      if (job === null || job.goneAt === null || now() < job.goneAt) return job;
      jobs.delete(id);
      return null;
    },
    add: (job) => void jobs.set(job.id, job),
    delete: (id) => void jobs.delete(id),
    pendingOf: (pin) => at(pending, pin),
    lane: (name) => at(lanes, name),
    pinned: createSortedIds(),
    running: createSortedIds(),
    awaiting: createSortedIds(),
    expiries: createSortedIds(),
    nodes: createSortedIds(),
    log: [],
    idempotency: new Map(),
    batches: new Map(),
    leader: null,
  };
}
