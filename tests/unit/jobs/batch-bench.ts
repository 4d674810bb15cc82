/**
 * A batch service over the records in memory and a real store; nothing is mocked but time and
 * BullMQ.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ulid } from 'ulid';
import type { Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import type { Batches } from '../../../src/http/ports.ts';
import { type BatchServiceOptions, createBatchService } from '../../../src/jobs/batch-service.ts';
import type { PromptRequest } from '../../../src/protocol/prompt.ts';
import type { PromptQueue, QueueEntry } from '../../../src/queue/prompt-queue.ts';
import { toJobCopy } from '../../../src/store/copy-source.ts';
import type { Store } from '../../../src/store/store.ts';
import { createMemoryRpc, type MemoryRpc } from '../../fakes/memory-records/memory-rpc.ts';
import { resolvedPrompt } from '../providers/resolved-prompt.ts';
import { testStore } from '../store/test-store.ts';

export const ALICE: Principal = { id: 'alice', admin: false };
export const BOB: Principal = { id: 'bob', admin: false };
export const ADMIN: Principal = { id: 'admin', admin: true };
export const CHANNELS = { requestChannel: 'requests', responseChannel: 'responses' };

/** What was enqueued. Nothing is delivered. */
export class FakeQueue implements Pick<PromptQueue, 'addAll' | 'remove'> {
  readonly entries = new Map<string, QueueEntry>();
  readonly sizes: number[] = [];

  async addAll(jobs: readonly QueueEntry[]): Promise<void> {
    this.sizes.push(jobs.length);
    for (const { id, priority, delayMs } of jobs) this.entries.set(id, { id, priority, delayMs });
  }

  async remove(id: string): Promise<void> {
    this.entries.delete(id);
  }
}

export interface BatchBench {
  readonly service: Batches;
  readonly rpc: MemoryRpc;
  readonly queue: FakeQueue;
  readonly store: Store;
  readonly admitted: number[];
  /** Lets time pass for the records. */
  advance(ms: number): void;
  /** Brings the store up to the log. */
  project(): Promise<void>;
  another(changes: Partial<BatchServiceOptions>): Batches;
}

export async function batchBench(): Promise<BatchBench> {
  let nowMs = 1_790_000_000_000;
  const rpc = createMemoryRpc({ ...CHANNELS, now: () => nowMs, keepFinishedMs: 3_600_000 });
  const queue = new FakeQueue();
  const store = await testStore();
  const admitted: number[] = [];
  let projected = 0;

  async function project(): Promise<void> {
    const entries = rpc.log.slice(projected);
    projected = rpc.log.length;
    const changed = new Set(entries.filter(([kind]) => kind === 'j').map(([, id]) => id));
    const removed = entries.filter(([kind]) => kind === 'd').map(([, id]) => id);
    const { found: records } = await rpc.records.readMany([...changed]);
    const jobs = records.map((record) => toJobCopy(record, nowMs));
    await store.run('copies.apply', { jobs, removed, cursor: null });
  }

  const options: BatchServiceOptions = {
    records: rpc.records,
    batchRecords: rpc.batches,
    queue,
    store,
    copier: { catchUp: project },
    resolverFor: () => resolve,
    newId: () => ({ id: ulid(nowMs), createdAt: nowMs }),
    placeSession: async () => null,
    admit: (count) => void admitted.push(count),
  };
  return {
    service: createBatchService(options),
    rpc,
    queue,
    store,
    admitted,
    advance: (ms) => {
      nowMs += ms;
    },
    project,
    another: (changes) => createBatchService({ ...options, ...changes }),
  };
}

async function resolve({ prompt, priority, delayMs, provider }: PromptRequest) {
  await nextTurn();
  if (provider === 'unknown') throw new AppError('provider.unknown', 'there is no provider unknown');
  if (provider === 'broken') throw new AppError('store.unavailable', 'the disk is full');
  return resolvedPrompt({ prompt, priority: priority ?? 0, delayMs: delayMs ?? 0 });
}
