import { isFinished } from '../../../src/protocol/job.ts';
import type { JobRecords } from '../../../src/records/ports.ts';
import { createJob } from './create-job.ts';
import { copyOf, toRecord } from './memory-job.ts';
import type { MemoryState } from './state.ts';
import { ring, settle, touch } from './transitions.ts';

export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;

/** {@link JobRecords} in memory. */
export function createMemoryJobRecords(state: MemoryState): JobRecords {
  return {
    async create(given) {
      const { idempotency } = given;
      if (idempotency !== null) {
        const prior = state.idempotency.get(idempotency.key);
        if (prior !== undefined && state.now() < prior.until) {
          if (prior.fingerprint !== idempotency.fingerprint) return { kind: 'mismatch' };
          if (prior.jobId === given.id) return { kind: 'created' };
          if (prior.jobId !== idempotency.deleted) return { kind: 'replayed', jobId: prior.jobId };
        }
        const until = state.now() + IDEMPOTENCY_MS;
        state.idempotency.set(idempotency.key, {
          jobId: given.id,
          fingerprint: idempotency.fingerprint,
          until,
        });
      }
      createJob(state, given);
      return { kind: 'created' };
    },

    async recall({ key, fingerprint }) {
      const prior = state.idempotency.get(key);
      if (prior === undefined || prior.until <= state.now()) return null;
      if (prior.fingerprint !== fingerprint) return { kind: 'mismatch' };
      return { kind: 'replayed', jobId: prior.jobId };
    },

    async read(id) {
      const job = state.find(id);
      return job === null ? null : toRecord(job);
    },

    async readMany(ids) {
      const found = ids.flatMap((id) => {
        const job = state.find(id);
        return job === null ? [] : [toRecord(job)];
      });
      return { found, damaged: [] };
    },

    async cancel(id, force, outcome) {
      const job = state.find(id);
      if (job === null) return { kind: 'gone' };
      if (isFinished(job.status)) return { kind: 'finished', status: job.status };
      if (job.status !== 'running') {
        job.cancel = 'requested';
        settle(state, job, 'cancelled', outcome);
        return { kind: 'cancelled' };
      }
      const after = force || job.cancel === 'forced' ? 'forced' : 'requested';
      if (job.cancel !== after) {
        job.cancel = after;
        touch(state, job);
      }
      ring(state, 'cancel', id);
      return { kind: 'requested' };
    },

    async remove(id) {
      const job = state.find(id);
      if (job === null || !isFinished(job.status)) return false;
      state.delete(id);
      state.log.push(['d', id]);
      return true;
    },

    async events(id, after, limit) {
      return copyOf(state.find(id)?.events.slice(after, after + limit) ?? []);
    },
  };
}
