/**
 * A batch service over the records and a real store; nothing is mocked but time and
 * BullMQ.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import type { Batches, ManyJobs } from '../../../src/http/ports.ts';
import { createIdFactory } from '../../../src/ids.ts';
import { createBatchReader } from '../../../src/jobs/batch-reader.ts';
import { type BatchServiceOptions, createBatchService } from '../../../src/jobs/batch-service.ts';
import { createManyJobs, type ManyJobsOptions } from '../../../src/jobs/many-jobs.ts';
import { createCallerLimiter } from '../../../src/limits/callers.ts';
import type { BatchPrompt } from '../../../src/protocol/prompt.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import type { PromptQueue, QueueEntry } from '../../../src/queue/prompt-queue.ts';
import { NO_SETTLED_LIMITS } from '../../../src/records/script-runner.ts';
import { readBatches, toJobCopy } from '../../../src/store/copy-source.ts';
import type { Store } from '../../../src/store/store.ts';
import { callerOf } from '../../fakes/principals.ts';
import { openTestRecords, type TestRecords } from '../../helpers/redis-records.ts';
import { sharedByHelper } from '../../helpers/shared.ts';
import { PROVIDER_HOST, providerSettings } from '../../unit/providers/settings.ts';
import { testStore } from '../store/test-store.ts';

export const ALICE: Principal = callerOf('alice');
export const BOB: Principal = callerOf('bob');
export const ADMIN: Principal = ADMIN_PRINCIPAL;

const recordsOfFile = sharedByHelper(openTestRecords);

/** What was enqueued. Nothing is delivered. */
export class FakeQueue implements Pick<PromptQueue, 'addAll' | 'remove'> {
  readonly entries = new Map<string, QueueEntry>();
  readonly sizes: number[] = [];

  async addAll(jobs: readonly QueueEntry[]): Promise<void> {
    this.sizes.push(jobs.length);
    for (const job of jobs) this.entries.set(job.id, job);
  }

  async remove(id: string): Promise<boolean> {
    return this.entries.delete(id);
  }
}

export interface BatchBench {
  readonly service: Batches;
  readonly many: ManyJobs;
  readonly rpc: TestRecords;
  readonly queue: FakeQueue;
  readonly store: Store;
  readonly admitted: number[];
  /** Lets time pass for the records. */
  advance(ms: number): Promise<void>;
  /** Brings the store up to the log. */
  project(): Promise<void>;
  another(changes: Partial<BatchServiceOptions>): Batches;
}

export async function batchBench({ maxChars }: Pick<ManyJobsOptions, 'maxChars'> = {}): Promise<BatchBench> {
  const rpc = (await recordsOfFile()).make();
  const queue = new FakeQueue();
  const store = await testStore();
  const admitted: number[] = [];
  let projected = 0;

  async function project(): Promise<void> {
    const log = await rpc.log();
    const entries = log.slice(projected).map((entry) => entry.split(' '));
    projected = log.length;
    const idsOf = (wanted: string) =>
      entries.flatMap(([kind, id]) => (kind === wanted && id !== undefined ? [id] : []));
    const changed = new Set(idsOf('j'));
    const removed = idsOf('d');
    const { found: records } = await rpc.records.readMany([...changed]);
    const jobs = records.map((record) => toJobCopy(record, Date.now()));
    const batches = await readBatches(rpc.batches, idsOf('b'));
    await store.run('copies.apply', { jobs, removed, cursor: null, batches });
  }

  const options: BatchServiceOptions = {
    records: rpc.records,
    batchRecords: rpc.batches,
    queue,
    reader: createBatchReader({
      ...{ records: rpc.records, batchRecords: rpc.batches, store },
      copier: { catchUp: project, catchUpSoon: project },
      closedGates: async () => null,
    }),
    resolverFor: () => resolve,
    newId: createIdFactory(),
    placeSession: async ({ project }, { sessionId }) => ({
      ...{ project: sessionId?.startsWith('of ') ? sessionId.slice(3) : project, node: null },
    }),
    admit: (count) => void admitted.push(count),
    callers: createCallerLimiter({ take: async () => null }, NO_SETTLED_LIMITS, () => undefined),
  };
  const service = createBatchService(options);
  return {
    service,
    many: createManyJobs({
      ...{ records: rpc.records, batchRecords: rpc.batches, batches: service, queue, store },
      providers: createProviders(providerSettings(), PROVIDER_HOST),
      copier: { catchUp: project },
      closedGates: async () => null,
      ...(maxChars && { maxChars }),
    }),
    rpc,
    queue,
    store,
    admitted,
    advance: rpc.advance,
    project,
    another: (changes) => createBatchService({ ...options, ...changes }),
  };
}

async function resolve({ prompt, priority, delayMs, provider, customId, sessionId }: BatchPrompt) {
  await nextTurn();
  if (provider === 'unknown') throw new AppError('provider.unknown', 'there is no provider unknown');
  if (provider === 'broken') throw new AppError('store.unavailable', 'the disk is full');
  const named = customId === undefined ? {} : { customId };
  return resolvedPrompt({
    prompt,
    priority: priority ?? 0,
    delayMs: delayMs ?? 0,
    sessionId: sessionId ?? null,
    ...named,
  });
}
