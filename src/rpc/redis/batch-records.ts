import { AppError } from '../../errors.ts';
import type { JobStatus } from '../../protocol/job.ts';
import type { BatchEntry, BatchRecords, OpenBatchResult } from '../batch-ports.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import { jobArguments } from './record-codec.ts';
import type { ScriptRunner } from './script-runner.ts';

/** Of BATCH_OPEN and RECALL; only a replay has more than the first. */
type Reply = [kind: string, id: string, entries: string, added: number];

/** {@link BatchRecords} over Redis. */
export function createBatchRecords(scripts: ScriptRunner): BatchRecords {
  return {
    async open(batch): Promise<OpenBatchResult> {
      const reply = (await scripts.run('BATCH_OPEN', [
        batch.id,
        batch.owner,
        batch.createdAt,
        JSON.stringify(batch.entries),
        batch.idempotency?.key ?? '',
        batch.idempotency?.fingerprint ?? '',
        IDEMPOTENCY_MS,
      ])) as Reply;
      const [kind] = reply;
      return kind === 'mismatch' || kind === 'created' ? { kind } : replayed(reply);
    },

    async recall({ key, fingerprint }) {
      const reply = (await scripts.run('RECALL', [key, fingerprint])) as Reply | [];
      if (reply[0] === 'mismatch') return { kind: 'mismatch' };
      return reply.length === 0 || reply[2] === '' ? null : replayed(reply);
    },

    async add(batchId, from, jobs) {
      const added = await scripts.run('BATCH_ADD', [batchId, from, ...jobs.flatMap(jobArguments)]);
      if (added === 1) return;
      throw new AppError(
        'redis.unavailable',
        'the batch, or jobs of it before these, are missing; try again',
        {
          retryAfterSeconds: 1,
        },
      );
    },

    async read(id) {
      const reply = await scripts.run('BATCH_READ', [id]);
      const [owner, createdAt, ids = [], states = []] = reply as [string, string, string[], string[]] | []; // the script's replies
      if (owner === undefined) return null;
      const jobs = ids.map((job, index) => ({
        id: job,
        status: (states[index] || null) as JobStatus | null,
      })); // written by the scripts
      return { id, owner, createdAt: Number(createdAt), jobs };
    },
  };
}

const replayed = ([, id, entries, added]: Reply) =>
  ({ kind: 'replayed', id, entries: JSON.parse(entries) as BatchEntry[], added }) as const; // written by BATCH_OPEN
