import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { AppError, isDamage, wireError } from '../errors.ts';
import type { JobStatus } from '../protocol/job.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import { isWrongType } from '../redis/redis-error.ts';
import type { BatchEntry, BatchRecords, OpenBatchResult } from './batch-ports.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import { createdOf, type LimitReply, limitedOf } from './limit-records.ts';
import { damaged, jobArguments, numberOf } from './record-codec.ts';
import { actorArguments, namedArguments, type ScriptRunner } from './script-runner.ts';

/** The outcome of a job whose session was closed before the job was made. */
const CLOSED = JSON.stringify(
  jobOutcome('failed', wireError('session.closed', 'the session was closed before the job was made')),
);

/** A reply of BATCH_OPEN or RECALL; only a replay has more than `kind`. */
type Reply = [kind: string, id: string, entries: string, added: number];

const idsOf = (entries: readonly BatchEntry[]): string[] =>
  entries.flatMap((entry) => ('id' in entry ? [entry.id] : []));

/** {@link BatchRecords} over Redis. */
export function createBatchRecords(
  scripts: ScriptRunner,
  report: ReportDamage,
  signer: Signer | null,
): BatchRecords {
  /** Runs a read, and reports damage. @throws AppError record.damaged */
  async function reading<T>(id: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      const why = isWrongType(error) ? damaged('its key is no record') : error;
      if (isDamage(why)) report({ kind: 'batch', id, why: why.message });
      throw why;
    }
  }

  return {
    async open(batch): Promise<OpenBatchResult> {
      const ids = idsOf(batch.entries);
      const refused = batch.entries.length - ids.length;
      const args = {
        id: batch.id,
        project: batch.project,
        principal: batch.principal,
        createdAt: batch.createdAt,
        entries: JSON.stringify(batch.entries),
        refused,
        details: JSON.stringify({ jobs: ids.length, refused }),
        ...actorArguments(batch.by ?? null),
        keepMs: IDEMPOTENCY_MS,
        key: batch.idempotency?.key ?? null,
        fingerprint: batch.idempotency?.fingerprint ?? null,
        keyForMs: IDEMPOTENCY_MS,
      };
      const reply = (await scripts.run('batch-open', args, ids)) as Reply | LimitReply; // the script's replies
      const [kind] = reply;
      if (kind === 'mismatch') return { kind };
      if (kind === 'replayed') return replayed(reply as Reply);
      return limitedOf(reply) ?? createdOf(reply);
    },

    async recall({ key, fingerprint }) {
      return reading(`of the key ${key}`, async () => {
        const reply = (await scripts.run('recall', { key, fingerprint })) as Reply | [];
        if (reply[0] === 'mismatch') return { kind: 'mismatch' } as const;
        return reply.length === 0 || reply[2] === '' ? null : replayed(reply);
      });
    },

    async add(batchId, from, jobs) {
      const list = jobs.flatMap((job) => namedArguments(jobArguments(job, signer)));
      const args = { batch: batchId, from, closed: CLOSED };
      const added = await scripts.run('batch-add', args, list);
      if (added === 1) return;
      const why = 'the batch, or jobs of it before these, are missing; try again';
      throw new AppError('redis.unavailable', why, { retryAfterSeconds: 1 });
    },

    read: (id) =>
      reading(id, async () => {
        const reply = await scripts.run('batch-read', { id });
        const [project, principal, createdAt, ids = [], states = [], refused = 0, projects = []] = reply as
          | [string, string, string, string[], string[], number, string[]]
          | []; // the script's replies
        if (project === undefined || principal === undefined) return null;
        const jobs = ids.map((job, index) => ({
          id: job,
          status: (states[index] || null) as JobStatus | null, // written by the scripts
          project: (states[index] && projects[index]) || null,
        }));
        return { id, project, principal, createdAt: numberOf('createdAt', createdAt), refused, jobs };
      }),

    opened: (id) =>
      reading(id, async () => {
        const reply = (await scripts.run('batch-entries', { id })) as string[]; // the script's replies
        const [project, principal, createdAt, entries = ''] = reply;
        if (project === undefined || principal === undefined) return null;
        return {
          ...{ id, project, principal, createdAt: numberOf('createdAt', createdAt) },
          entries: entriesOf(entries),
        };
      }),
  };
}

function replayed([, id, entries, added]: Reply) {
  return { kind: 'replayed', id, entries: entriesOf(entries), added } as const;
}

/** As BATCH_OPEN wrote them. */
function entriesOf(text: string): BatchEntry[] {
  try {
    const entries: unknown = JSON.parse(text);
    if (Array.isArray(entries) && entries.every((one) => typeof one === 'object' && one !== null))
      return entries;
  } catch {
    // reported below
  }
  throw damaged('its entries are none');
}
