import type { Redis } from 'ioredis';
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Signer } from '../auth/signer.ts';
import type { ReportDamage } from '../damage.ts';
import { isDamage } from '../errors.ts';
import type { SessionStoredEvent, StoredEvent } from '../protocol/event.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';
import { SESSION_STATUSES, type SessionStatus } from '../protocol/session.ts';
import type { Names } from '../redis/names.ts';
import { isWrongType } from '../redis/redis-error.ts';
import { IDEMPOTENCY_MS } from './job-records.ts';
import type { JobRecords } from './ports.ts';
import {
  damaged,
  numberOf,
  numberOrNull,
  orNull,
  parsed,
  storedMetadata,
  storedTags,
} from './record-codec.ts';
import { actorArguments, type ScriptArguments, type ScriptRunner } from './script-runner.ts';
import type {
  SessionCreated,
  SessionEntry,
  SessionOptions,
  SessionRecord,
  SessionRecords,
} from './session-ports.ts';
import { sessionTexts } from './signatures.ts';

/** Entries of a stream that are read at once. */
const PAGE = 200;

const storedOptions = Compile(Type.Object({ provider: Type.String(), cwd: Type.String() }));
const storedFork = Compile(Type.Object({ sessionId: Type.String(), nativeSessionId: Type.String() }));
const storedRules = Compile(Type.Array(Type.Tuple([Type.String(), Type.String()])));

type StreamEntry = readonly [id: string, fields: readonly string[]];

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
      const { idempotency = null } = session;
      const reply = await scripts.run('session-create', {
        ...{ id, kind, name, project, principal, node, createdAt, status },
        ...texts(session, signer),
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
      const signed = rules.map((rule) => [rule, ruleSignature(signer, id, rule)]);
      const args = {
        ...{ id, kind, name, project, principal, node, status, statusReason, nativeSessionId },
        ...{ createdAt, lastActivityAt, closedAt, turns, rev, explicit },
        ...texts(session, signer),
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
      const [found, ...open] = reply as [number?, ...string[]]; // the script's replies
      return { found: found === 1, open };
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
    const { seq, at, status, reason } = entry;
    return [{ seq, sessionId, at, kind: 'session.status', status, reason }];
  }
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

/** Texts of a session that are JSON in its record. */
function texts(session: SessionTexts, signer: Signer | null): ScriptArguments {
  const { tags, metadata } = session;
  const options = JSON.stringify(session.options);
  const fork = session.fork === null ? '' : JSON.stringify(session.fork);
  return {
    ...{ options, fork },
    signature: signer?.sign(sessionTexts(session, options, fork)) ?? null,
    tags: JSON.stringify(tags),
    metadata: JSON.stringify(metadata),
  };
}
type SessionTexts = Pick<
  SessionRecord,
  'id' | 'project' | 'principal' | 'options' | 'fork' | 'tags' | 'metadata'
>;

const isStatus = (value: string | undefined): value is SessionStatus =>
  SESSION_STATUSES.some((status) => status === value);

/**
 * A hash of HGETALL as a session; null when there is none.
 * @throws AppError record.damaged
 */
function decodeSession(
  id: string,
  hash: Readonly<Record<string, string>>,
  signer: Signer | null,
): SessionRecord | null {
  if (Object.keys(hash).length === 0) return null;
  const { status, principal } = hash;
  if (!isStatus(status)) throw damaged('its status is none');
  if (principal === undefined) throw damaged('its principal is missing');
  const [fork, rules, tags] = [orNull(hash['fork']), orNull(hash['rules']), orNull(hash['tags'])];
  const metadata = orNull(hash['metadata']);
  const texts = sessionTexts(
    { id, project: hash['project'] ?? '', principal },
    hash['options'] ?? '',
    hash['fork'] ?? '',
  );
  // as: checked by the schemas; the request of each turn is checked again
  const options = parsed('options', hash['options'] ?? '', storedOptions) as SessionOptions;
  const isSigned = signer === null || signer.isSigned(texts, hash['signature'] ?? '');
  const signed = rules === null ? [] : (parsed('rules', rules, storedRules) as [string, string][]);
  return {
    id,
    rev: numberOf('rev', hash['rev']),
    kind: hash['kind'] === 'terminal' ? 'terminal' : 'chat',
    explicit: hash['explicit'] === '1',
    name: orNull(hash['name']),
    status,
    statusReason: orNull(hash['statusReason']),
    project: orNull(hash['project']) ?? DEFAULT_PROJECT,
    principal,
    options,
    signed: isSigned,
    nativeSessionId: orNull(hash['nativeSessionId']),
    fork: fork === null || !isSigned ? null : (parsed('fork', fork, storedFork) as SessionRecord['fork']),
    node: orNull(hash['node']),
    rules: signed.flatMap(([rule, signature]) =>
      signer === null || signer.isSigned(['session-rule', id, rule], signature) ? [rule] : [],
    ),
    turns: numberOf('turns', hash['turns']),
    lastSeq: numberOf('seq', hash['seq']),
    createdAt: numberOf('createdAt', hash['createdAt']),
    lastActivityAt: numberOf('lastActivityAt', hash['lastActivityAt']),
    closedAt: numberOrNull('closedAt', hash['closedAt']),
    tags: tags === null ? [] : (parsed('tags', tags, storedTags) as string[]),
    metadata:
      metadata === null ? {} : (parsed('metadata', metadata, storedMetadata) as Record<string, string>),
  };
}

/** Null: it points to nothing. */
function pointerOf(seq: number, jobId: string, from: number, to: number): SessionEntry | null {
  const isValid =
    [seq, from, to].every(Number.isSafeInteger) && from > 0 && from <= to && seq >= to - from + 1;
  return isValid ? { seq, jobId, from, to } : null;
}

/** Null: Bullpen did not write it. */
function decodeEntry([id, fields]: StreamEntry): SessionEntry | null {
  const field = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) field.set(fields[i] ?? '', fields[i + 1] ?? '');
  const seq = Number(/^(\d{1,15})-0$/.exec(id)?.[1] ?? Number.NaN);
  const jobId = field.get('j');
  if (jobId !== undefined) return pointerOf(seq, jobId, Number(field.get('f')), Number(field.get('l')));
  const [status, at] = [field.get('s'), field.get('t') ?? ''];
  if (!isStatus(status) || !/^\d{1,15}$/.test(at) || Number.isNaN(seq)) return null;
  return { seq, at: new Date(Number(at)).toISOString(), status, reason: orNull(field.get('r')) };
}

/** As SESSION_CREATE takes it. */
function encodeEntry(entry: SessionEntry): (string | number)[] {
  const fields =
    'status' in entry
      ? ['t', Date.parse(entry.at), 's', entry.status, 'r', entry.reason ?? '']
      : ['j', entry.jobId, 'f', entry.from, 'l', entry.to];
  return [entry.seq, fields.length, ...fields];
}
