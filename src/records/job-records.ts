import type { Redis } from 'ioredis';
import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { isDamage } from '../errors.ts';
import type { Actor, OwnedAct } from '../protocol/audit.ts';
import type { StoredEvent } from '../protocol/event.ts';
import { isFinished, type JobStatus } from '../protocol/job.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Names } from '../redis/names.ts';
import { isWrongType } from '../redis/redis-error.ts';
import { createdOf, type LimitReply, limitedOf } from './limit-records.ts';
import type { CancelResult, ChangeResult, CreateResult, JobRecord, JobRecords } from './ports.ts';
import { damaged, decodeEvent, decodeRecord, jobArguments } from './record-codec.ts';
import { actorArguments, type ScriptArguments, type ScriptRunner } from './script-runner.ts';

/** How long an Idempotency-Key is remembered (docs/api.md). */
export const IDEMPOTENCY_MS = 24 * 60 * 60 * 1000;

/** {@link JobRecords} over Redis. */
export function createJobRecords(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  report: ReportDamage,
  signer: Signer | null,
): JobRecords {
  /** The record in a reply of HGETALL. @throws AppError record.damaged */
  function decode(id: string, failure: unknown, hash: unknown): JobRecord | null {
    try {
      if (failure === null) return decodeRecord(id, hash as Record<string, string>, signer); // of HGETALL
      throw isWrongType(failure) ? damaged('its key is no record') : failure;
    } catch (error) {
      if (isDamage(error)) report({ kind: 'job', id, why: error.message });
      throw error;
    }
  }

  return {
    async create(job): Promise<CreateResult> {
      const { key = null, fingerprint = null, deleted = null } = job.idempotency ?? {};
      const used = { key, fingerprint, keyForMs: IDEMPOTENCY_MS, deleted };
      const ring = job.delivered !== true && job.request.delayMs === 0;
      const limited = job.limited === true;
      const by = actorArguments(job.by ?? null);
      const args = { ...jobArguments(job, signer), ...used, ...by, ring, limited };
      const reply = (await scripts.run('create', args)) as LimitReply; // the script's replies
      const [kind, id] = reply;
      if (kind === 'mismatch' || kind === 'closed') return { kind };
      if (kind === 'replayed' && typeof id === 'string' && id !== job.id) return { kind, jobId: id };
      return limitedOf(reply) ?? createdOf(reply);
    },

    async recall({ key, fingerprint }) {
      const reply = await scripts.run('recall', { key, fingerprint });
      const [kind, jobId] = reply as string[]; // the script's replies
      if (kind === 'mismatch') return { kind };
      return jobId === undefined ? null : { kind: 'replayed', jobId };
    },

    async read(id) {
      const [failure, hash] = await redis.hgetall(names.job(id)).then(
        (given) => [null, given],
        (error: unknown) => [error, null],
      );
      return decode(id, failure, hash);
    },

    async readMany(ids) {
      const pipeline = redis.pipeline();
      for (const id of ids) pipeline.hgetall(names.job(id));
      const replies = (await pipeline.exec()) ?? [];
      const found: JobRecord[] = [];
      const lost: { id: string; over: boolean }[] = [];
      for (const [index, [failure, hash]] of replies.entries()) {
        const id = ids[index] ?? '';
        try {
          const record = decode(id, failure, hash);
          if (record !== null) found.push(record);
        } catch (error) {
          if (!isDamage(error)) throw error;
          const status = failure === null ? (hash as Record<string, string>)['status'] : undefined; // of HGETALL
          lost.push({ id, over: status === undefined || isFinished(status as JobStatus) });
        }
      }
      return { found, damaged: lost };
    },

    cancel: (id, force, outcome, by = null) => stop({ id, force, ...outcomeBy(outcome, by) }),
    interrupt(id, outcome, by = null, message = null) {
      const once = message && { session: message.session, messageId: message.id };
      return stop({ id, interrupt: true, ...outcomeBy(outcome, by), ...once });
    },

    async change(id, { tags, metadata, archived, priority, runAt }, by = null) {
      const reply = await scripts.run('change', {
        id,
        tags: tags === undefined ? null : JSON.stringify(tags),
        metadata: metadata === undefined ? null : JSON.stringify(metadata),
        archived: archived === undefined ? null : archived ? '1' : '0',
        priority: priority?.value ?? null,
        score: priority?.score ?? null,
        runAt: runAt?.at ?? null,
        deadline: runAt?.deadline ?? null,
        patch: JSON.stringify({ tags, metadata, archived }),
        ...actArguments(by),
      });
      return reply as ChangeResult; // the script's replies
    },

    async remove(id, by = null) {
      return (await scripts.run('remove', { id, ...actArguments(by) })) === 1;
    },

    async events(id, after, limit) {
      const events: StoredEvent[] = [];
      for (let from = `${after + 1}-0`; events.length < limit; ) {
        const count = limit - events.length;
        const entries = await redis.xrange(names.events(id), from, '+', 'COUNT', count).catch(noStream);
        for (const entry of entries) {
          try {
            events.push(decodeEvent(id, entry));
          } catch (error) {
            if (!isDamage(error)) throw error;
            report({ kind: 'event', id: `${id}/${entry[0]}`, why: error.message });
          }
        }
        const last = entries.at(-1)?.[0];
        if (last === undefined || entries.length < count) break;
        from = `(${last}`;
      }
      return events;
    },
  };

  async function stop(args: ScriptArguments): Promise<CancelResult> {
    const [kind, status] = (await scripts.run('cancel', args)) as string[]; // the script's replies
    // `repeated` only for an interrupt, whose answer has it.
    return kind === 'finished' ? ({ kind, status } as CancelResult) : ({ kind } as CancelResult);
  }

  /** A key that is no stream has no events. */
  function noStream(error: unknown): [string, string[]][] {
    if (isWrongType(error)) return [];
    throw error;
  }
}

const actArguments = (by: OwnedAct | null): ScriptArguments =>
  by === null ? {} : { ...actorArguments(by.actor), project: by.project };

const outcomeBy = (outcome: Outcome, by: Actor | null): ScriptArguments => ({
  outcome: JSON.stringify(outcome),
  ...actorArguments(by),
});
