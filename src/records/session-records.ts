import type { Redis } from 'ioredis';
import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { isDamage } from '../errors.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import type { Names } from '../redis/names.ts';
import { isWrongType } from '../redis/redis-error.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import type { JobRecords } from './ports.ts';
import { damaged } from './record-codec.ts';
import { actorArguments, type ScriptRunner } from './script-runner.ts';
import {
  decodeEntry,
  decodeSession,
  encodeEntry,
  pointerOf,
  type StreamEntry,
  texts,
} from './session-codec.ts';
import type { SessionCreated, SessionEntry, SessionRecord, SessionRecords } from './session-ports.ts';

/** Entries of a stream that are read at once. */
const PAGE = 200;

/**
 * The signature of a rule of a session; '': records are not signed. Else a change of the record in
 * Redis would be an approval.
 */
export const ruleSignature = (signer: Signer | null, sessionId: string, rule: string): string =>
  signer?.sign(['session-rule', sessionId, rule]) ?? '';

/** {@link SessionRecords} over Redis. */
export function createSessionRecords(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  jobs: Pick<JobRecords, 'events'>,
  report: ReportDamage,
  signer: Signer | null,
): SessionRecords {
  /** @throws AppError record.damaged */
  async function read(id: string): Promise<SessionRecord | null> {
    try {
      return decodeSession(id, await redis.hgetall(names.session(id)), signer);
    } catch (error) {
      const why = isWrongType(error) ? damaged('its key is no record') : error;
      if (isDamage(why)) report({ kind: 'session', id, why: why.message });
      throw why;
    }
  }

  /** The pointer that still grows; null: there is none. */
  async function growing(id: string): Promise<{ entry: SessionEntry | null; known: boolean }> {
    const fields = ['status', 'seq', 'tailJob', 'tailFrom', 'tailTo'] as const;
    const values = await redis.hmget(names.session(id), ...fields).catch((error: unknown) => {
      if (isWrongType(error)) return [];
      throw error;
    });
    const [status, seq, jobId, from, to] = values;
    const entry = jobId ? pointerOf(Number(seq), jobId, Number(from), Number(to)) : null;
    return { entry, known: Boolean(status) };
  }

  async function entries(id: string, after: number, limit: number): Promise<readonly SessionEntry[] | null> {
    // Read before the stream: a pointer that ends in between is then in the stream.
    const { entry: tail, known } = await growing(id);
    if (!known) return null;
    const found = (await redis
      .xrange(names.sessionEvents(id), `${after + 1}-0`, '+', 'COUNT', limit)
      .catch((error: unknown) => {
        if (isWrongType(error)) return [];
        throw error;
      })) as StreamEntry[]; // ids and fields
    const read = found.flatMap((entry) => {
      const decoded = decodeEntry(entry);
      if (decoded === null) report({ kind: 'event', id: `${id}/${entry[0]}`, why: 'it cannot be read' });
      return decoded === null ? [] : [decoded];
    });
    const last = read.at(-1)?.seq ?? after;
    return found.length < limit && tail !== null && tail.seq > last ? [...read, tail] : read;
  }

  return {
    async create(session) {
      const { id, kind, name, project, principal, node, createdAt, status } = session;
      const { idempotency = null, terminal = null } = session;
      const reply = await scripts.run('session-create', {
        ...{ id, kind, name, project, principal, node, createdAt, status },
        ...texts(session, signer),
        ...terminal,
        explicit: 1,
        ...(idempotency && { ...idempotency, keyForMs: IDEMPOTENCY_MS }),
        ...actorArguments(session.by),
      });
      const [result, other = ''] = reply as [SessionCreated['kind'], string?]; // the script's replies
      return result === 'replayed' ? { kind: result, id: other } : { kind: result };
    },

    async restore(session, entries) {
      const { id, kind, name, project, principal, node, status, statusReason, nativeSessionId } = session;
      const { createdAt, lastActivityAt, closedAt, turns, rev, lastSeq, rules, explicit } = session;
      const { matchedLine, terminal } = session;
      const signed = rules.map((rule) => [rule, ruleSignature(signer, id, rule)]);
      const args = {
        ...{ id, kind, name, project, principal, node, status, statusReason, nativeSessionId },
        ...{ createdAt, lastActivityAt, closedAt, turns, rev, explicit },
        ...texts(session, signer),
        ...{ matchedLine, ...terminal },
        seq: Math.max(lastSeq, entries.at(-1)?.seq ?? 0),
        rules: rules.length === 0 ? null : JSON.stringify(signed),
      };
      await scripts.run('session-create', args, entries.flatMap(encodeEntry));
    },

    read,
    entries,

    async open(id) {
      return (await scripts.run('session-open', { id })) as string[]; // the script's replies
    },

    async close(id, by) {
      const reply = await scripts.run('session-close', { id, ...actorArguments(by.actor) });
      const [open] = reply as [string[]?]; // the script's replies
      return { found: open !== undefined, open: open ?? [] };
    },

    async remove(id, { actor, project }) {
      return (await scripts.run('session-remove', { id, project, ...actorArguments(actor) })) === 1;
    },

    async events(id, after, limit) {
      const events: SessionStoredEvent[] = [];
      for (let seq = after; events.length < limit; ) {
        const page = await entries(id, seq, PAGE);
        // Until its second job the events of a session are those of its first.
        if (page === null)
          return (await jobs.events(id, after, limit)).map((one) => inSession(id, one, one.seq));
        for (const entry of page) {
          const wanted = limit - events.length;
          if (wanted > 0) events.push(...(await eventsOf(id, entry, seq, wanted, jobs.events)));
          seq = entry.seq;
        }
        if (page.length < PAGE) break;
      }
      return events;
    },
  };
}

/**
 * The events of an entry after a seq of the session, at most `limit`. Those of a job that are no
 * longer kept are left out.
 */
export async function eventsOf(
  sessionId: string,
  entry: SessionEntry,
  after: number,
  limit: number,
  read: (jobId: string, after: number, limit: number) => Promise<readonly StoredEvent[]>,
): Promise<readonly SessionStoredEvent[]> {
  if ('status' in entry) {
    return [{ ...entry, sessionId, kind: 'session.status' }];
  }
  if ('event' in entry) return [{ seq: entry.seq, sessionId, at: entry.at, ...entry.event }];
  const { jobId, from, to } = entry;
  const offset = entry.seq - to;
  const first = Math.max(from, after - offset + 1);
  const events = await read(jobId, first - 1, Math.min(limit, to - first + 1));
  return events.filter(({ seq }) => seq <= to).map((one) => inSession(sessionId, one, one.seq + offset));
}

/** An event of a job as one of its session. */
export const inSession = (sessionId: string, event: StoredEvent, seq: number): SessionStoredEvent => ({
  ...event,
  seq,
  sessionId,
  jobSeq: event.seq,
});
