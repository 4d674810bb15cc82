import type { Redis } from 'ioredis';
import type { Names } from '../../queue/names.ts';
import type { CancelResult, CreateResult, JobRecords } from '../ports.ts';
import { decodeEvent, decodeRecord, jobArguments } from './record-codec.ts';
import type { ScriptRunner } from './script-runner.ts';

/** How long an Idempotency-Key is remembered (API.md). */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;

/** {@link JobRecords} over Redis. */
export function createJobRecords(redis: Redis, names: Names, scripts: ScriptRunner): JobRecords {
  return {
    async create(job): Promise<CreateResult> {
      const reply = (await scripts.run('CREATE', [
        ...jobArguments(job),
        job.idempotency?.key ?? '',
        job.idempotency?.fingerprint ?? '',
        IDEMPOTENCY_MS,
        job.idempotency?.deleted ?? '',
      ])) as string[]; // the script's replies
      const [kind, id] = reply;
      if (kind === 'mismatch') return { kind };
      if (kind === 'replayed' && id !== undefined && id !== job.id) return { kind, jobId: id };
      return { kind: 'created' };
    },

    async recall({ key, fingerprint }) {
      const reply = await scripts.run('RECALL', [key, fingerprint]);
      const [kind, jobId] = reply as string[]; // the script's replies
      if (kind === 'mismatch') return { kind };
      return jobId === undefined ? null : { kind: 'replayed', jobId };
    },

    async read(id) {
      return decodeRecord(id, await redis.hgetall(names.job(id)));
    },

    async readMany(ids) {
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.hgetall(names.job(id));
      const replies = (await pipeline.exec()) ?? [];
      return replies.flatMap(([error, hash], index) => {
        if (error !== null) throw error;
        const record = decodeRecord(ids[index] ?? '', hash as Record<string, string>); // of HGETALL
        return record === null ? [] : [record];
      });
    },

    async cancel(id, force, outcome): Promise<CancelResult> {
      const reply = await scripts.run('CANCEL', [id, force ? 1 : 0, JSON.stringify(outcome)]);
      const [kind, status] = reply as string[]; // the script's replies
      return kind === 'finished' ? ({ kind, status } as CancelResult) : ({ kind } as CancelResult);
    },

    async remove(id) {
      return (await scripts.run('REMOVE', [id])) === 1;
    },

    async events(id, after, limit) {
      const entries = await redis.xrange(names.events(id), `${after + 1}-0`, '+', 'COUNT', limit);
      return entries.map((entry) => decodeEvent(id, entry));
    },
  };
}
