import { AppError } from '../../../src/errors.ts';
import type { BatchRecords, IdempotencyKey, NewBatch } from '../../../src/records/ports.ts';
import { createJob } from './create-job.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import { copyOf } from './memory-job.ts';
import type { MemoryBatch, MemoryState } from './state.ts';

/** {@link BatchRecords} in memory. */
export function createMemoryBatchRecords(state: MemoryState): BatchRecords {
  const find = (id: string): MemoryBatch | null => {
    const known = state.batches.get(id);
    return known === undefined || known.goneAt <= state.now() ? null : known;
  };
  const recall = ({ key, fingerprint }: IdempotencyKey): Awaited<ReturnType<BatchRecords['recall']>> => {
    const prior = state.idempotency.get(key);
    if (prior === undefined || prior.until <= state.now()) return null;
    if (prior.fingerprint !== fingerprint) return { kind: 'mismatch' };
    const earlier = find(prior.jobId);
    if (earlier === null) return null;
    const { id, entries } = earlier.batch;
    return { kind: 'replayed', id, entries: copyOf(entries), added: earlier.jobs.length };
  };
  return {
    recall: async (used) => recall(used),

    async open(batch) {
      const { idempotency } = batch;
      if (idempotency !== null) {
        const prior = recall(idempotency);
        if (prior !== null) return prior;
        const { key, fingerprint } = idempotency;
        state.idempotency.set(key, { jobId: batch.id, fingerprint, until: state.now() + IDEMPOTENCY_MS });
      }
      const goneAt = state.now() + Math.max(state.settings.keepFinishedMs, IDEMPOTENCY_MS);
      state.batches.set(batch.id, { batch: copyOf<NewBatch>(batch), jobs: [], goneAt });
      return { kind: 'created' };
    },

    async add(batchId, from, jobs) {
      const known = find(batchId);
      if (known === null || from > known.jobs.length) {
        throw new AppError(
          'redis.unavailable',
          'the batch, or jobs of it before these, are missing; try again',
          {
            retryAfterSeconds: 1,
          },
        );
      }
      for (const job of jobs.slice(known.jobs.length - from)) {
        createJob(state, job);
        known.jobs.push(job.id);
      }
    },

    async read(id) {
      const known = find(id);
      if (known === null) return null;
      const { project, principal, createdAt } = known.batch;
      return {
        id,
        project,
        principal,
        createdAt,
        jobs: known.jobs.map((job) => ({ id: job, status: state.find(job)?.status ?? null })),
      };
    },
  };
}
