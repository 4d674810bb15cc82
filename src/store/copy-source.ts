/**
 * Reads what copies are made from: the log of record changes, the records, and the event streams of
 * finished jobs.
 */
import type { Redis } from 'ioredis';
import type { ReportDamage } from '../damage.ts';
import { isDamage } from '../errors.ts';
import { createChecker } from '../protocol/checker.ts';
import type { EventBody } from '../protocol/event.ts';
import { JobPatch } from '../protocol/job.ts';
import { ULID } from '../protocol/schema.ts';
import { type AuditRecord, decodeAudit } from '../records/audit-log.ts';
import type { BatchRecords } from '../records/batch-ports.ts';
import { LOG_START } from '../records/change-log.ts';
import type { JobRecord } from '../records/ports.ts';
import { isWrongType } from '../redis/redis-error.ts';
import type { BatchCopy } from './batches.ts';
import type { CopyPatch } from './copies.ts';
import type { EventCopy } from './events.ts';
import type { JobCopy } from './jobs.ts';

/** An entry of a Redis stream, as ioredis returns it: names and values alternate in `fields`. */
export type StreamEntry = readonly [id: string, fields: readonly string[]];

/** Changes read at once. A job that changed several times among them is copied once. */
const LOG_PAGE = 400;

export interface LogPage {
  /** Ids of the changed jobs, each once, without the removed ones. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Changes of jobs that Redis no longer has, in order. */
  readonly patches: readonly CopyPatch[];
  /** Ids of the batches that were made. */
  readonly batches: readonly string[];
  readonly audit: readonly AuditRecord[];
  /** Ids of the changed sessions, each once, without the removed ones. */
  readonly sessions: readonly string[];
  readonly removedSessions: readonly string[];
  /** Ids of the sessions that are closed or deleted, each once. */
  readonly endedSessions: readonly string[];
  /** Ids of the approvals that are new or have changed. */
  readonly approvals: readonly string[];
  /** Id of the last entry: the position in the log once the whole page is copied. */
  readonly last: string;
  /** Whether more entries may follow. */
  readonly full: boolean;
}

/**
 * Returns the next page of the log after a position; null at its end; `gone` when the log no longer
 * has the entry of the position: then changes behind it may be missing, too.
 */
export async function readLogPage(
  redis: Pick<Redis, 'xrange'>,
  log: string,
  after: string,
  report: ReportDamage,
): Promise<LogPage | 'gone' | null> {
  const entries = (await redis.xrange(log, after, '+', 'COUNT', LOG_PAGE + 1)) as StreamEntry[]; // ids and fields
  if (after === LOG_START) entries.length = Math.min(entries.length, LOG_PAGE);
  else if (entries.shift()?.[0] !== after) return 'gone';
  const last = entries.at(-1);
  if (last === undefined) return null;
  const changed = new Set<string>();
  const removed = new Set<string>();
  const sessions = new Set<string>();
  const removedSessions = new Set<string>();
  const endedSessions = new Set<string>();
  const approvals = new Set<string>();
  const batches: string[] = [];
  const patches: CopyPatch[] = [];
  const audit: AuditRecord[] = [];
  const auditOf = (entry: StreamEntry): AuditRecord[] => {
    const record = decodeAudit(entry);
    if (record === null) report({ kind: 'log', id: entry[0], why: 'it is no entry of the audit' });
    return record === null ? [] : [record];
  };
  for (const [entry, fields] of entries) {
    const [kind, id = ''] = fields;
    if ((kind === 'j' || kind === 'c') && ULID.test(id)) {
      changed.add(id);
      const patch = patchOf(fields);
      if (patch !== null) patches.push({ id, patch });
    } else if (kind === 'd' && ULID.test(id)) removed.add(id);
    else if (kind === 'b' && ULID.test(id)) batches.push(id);
    else if (kind === 's' && ULID.test(id)) {
      const status = fields.at(-1);
      (status === 'deleted' ? removedSessions : sessions).add(id);
      if (status === 'deleted' || status === 'closed') endedSessions.add(id);
    } else if (kind === 'q' && ULID.test(id)) approvals.add(id);
    else if (kind === 'u') audit.push(...auditOf([entry, fields]));
    else if (kind !== 'g') report({ kind: 'log', id: entry, why: 'it names no job' });
  }
  return {
    changed: [...changed].filter((id) => !removed.has(id)),
    removed: [...removed],
    patches,
    batches,
    audit,
    sessions: [...sessions].filter((id) => !removedSessions.has(id)),
    removedSessions: [...removedSessions],
    endedSessions: [...endedSessions],
    approvals: [...approvals],
    last: last[0],
    full: entries.length === LOG_PAGE,
  };
}

const jobPatch = createChecker(JobPatch);

/** The patch in an entry of the log; null: it has none that can be read. */
function patchOf(fields: readonly string[]): JobPatch | null {
  const [name, text = ''] = fields.slice(-2);
  if (name !== 'x') return null;
  try {
    const patch: unknown = JSON.parse(text);
    return jobPatch.check(patch) ? patch : null;
  } catch {
    return null;
  }
}

/** Whether stream id `a` comes before `b`. */
export function streamIdBefore(a: string, b: string): boolean {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number);
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number);
  return aMs < bMs || (aMs === bMs && aSeq < bSeq);
}

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** Converts a record to its copy. `now`: when this revision was seen, in milliseconds. */
export function toJobCopy(record: JobRecord, now: number): JobCopy {
  return {
    id: record.id,
    rev: record.rev,
    kind: record.kind,
    project: record.project,
    principal: record.principal,
    grant: record.grant,
    forged: record.forged,
    sessionId: record.sessionId,
    nativeSessionId: record.nativeSessionId,
    status: record.status,
    waitReason: record.waitReason,
    scheduledFor: time(record.scheduledFor),
    batchId: record.batch,
    request: record.request,
    archived: record.archived,
    attempts: record.attempt,
    failures: record.failures,
    retryOf: record.retryOf,
    pin: record.pin,
    node: record.node,
    cancelRequested: record.cancel !== 'none',
    createdAt: new Date(record.createdAt).toISOString(),
    startedAt: time(record.startedAt),
    finishedAt: time(record.finishedAt),
    updatedAt: new Date(now).toISOString(),
    outcome: record.outcome,
  };
}

/** The batches that Redis still has and that can be read. */
export async function readBatches(
  records: Pick<BatchRecords, 'opened'>,
  ids: readonly string[],
): Promise<readonly BatchCopy[]> {
  const copies: BatchCopy[] = [];
  for (const id of ids) {
    const batch = await records.opened(id).catch((error: unknown) => {
      if (isDamage(error)) return null; // reported where it was read
      throw error;
    });
    if (batch !== null) copies.push({ ...batch, createdAt: new Date(batch.createdAt).toISOString() });
  }
  return copies;
}

/** Events read or written at once, at most. */
const EVENT_PAGE = 1000;

export interface EventSource {
  /**
   * Returns the events of these jobs, from the first to the last. It returns at most a page;
   * earlier pages go to `store` first, so that memory use does not grow with the number of jobs.
   */
  read(
    jobs: readonly { readonly id: string; readonly lastSeq: number }[],
    store: (events: readonly EventCopy[]) => Promise<unknown>,
  ): Promise<readonly EventCopy[]>;
}

/** @param keyOf returns the key of a job's event stream */
export function createEventSource(
  redis: Pick<Redis, 'xrange'>,
  keyOf: (jobId: string) => string,
  report: ReportDamage,
): EventSource {
  /** Returns a page of a stream, and where the next one begins; null: there is none. */
  async function page(jobId: string, from: string): Promise<{ copies: EventCopy[]; next: string | null }> {
    const read = redis.xrange(keyOf(jobId), from, '+', 'COUNT', EVENT_PAGE) as Promise<StreamEntry[]>; // ids and fields
    const entries = await read.catch((error: unknown): StreamEntry[] => {
      if (!isWrongType(error)) throw error;
      report({ kind: 'event', id: jobId, why: 'their key is no stream' });
      return [];
    });
    const copies = entries.flatMap((entry): EventCopy[] => {
      const copy = copyOf(jobId, entry);
      if (copy === null) report({ kind: 'event', id: `${jobId}/${entry[0]}`, why: 'it cannot be read' });
      return copy === null ? [] : [copy];
    });
    const last = entries.at(-1)?.[0];
    return { copies, next: last === undefined || entries.length < EVENT_PAGE ? null : `(${last}` };
  }

  return {
    async read(jobs, store) {
      let copies: EventCopy[] = [];
      for (const group of groupByPage(jobs)) {
        if (copies.length > 0) await store(copies);
        const pages = await Promise.all(group.map(({ id }) => page(id, '-')));
        copies = pages.flatMap((one) => one.copies);
        // Only a job alone in its group has further pages, unless its stream is longer than its
        // record says.
        for (const [index, { id }] of group.entries()) {
          for (let next = pages[index]?.next ?? null; next !== null; ) {
            await store(copies);
            ({ copies, next } = await page(id, next));
          }
        }
      }
      return copies;
    },
  };
}

/** Groups neighbours whose events fit one page together. */
function groupByPage<T extends { readonly lastSeq: number }>(jobs: readonly T[]): T[][] {
  const groups: T[][] = [];
  let events = 0;
  for (const job of jobs) {
    const group = groups.at(-1);
    events += job.lastSeq;
    if (group !== undefined && events <= EVENT_PAGE) group.push(job);
    else {
      groups.push([job]);
      events = job.lastSeq;
    }
  }
  return groups;
}

const SEQ = /^(\d{1,15})-0$/;
/** The last millisecond a Date can hold. */
const MAX_TIME = 8.64e15;
/** How the scripts and `JSON.stringify` begin an event. Any other text is parsed. */
const KIND = /^\{"kind":"([a-z_.]+)"/;

/**
 * Converts an entry of a stream; its id is the event's seq. The body's text is copied without
 * parsing it; the store checks that it is JSON. Returns null for an entry that Bullpen did not
 * write.
 */
function copyOf(jobId: string, [id, fields]: StreamEntry): EventCopy | null {
  const field = (name: string): string | null => {
    for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1] ?? null;
    return null;
  };
  const seq = SEQ.exec(id)?.[1];
  const attempt = Number(field('a') ?? Number.NaN);
  const at = Number(field('t') ?? Number.NaN);
  const text = field('e');
  if (seq === undefined || !Number.isInteger(attempt) || !(at >= 0 && at <= MAX_TIME) || text === null)
    return null;
  const body = bodyOf(text);
  if (body === null) return null;
  return { jobId, seq: Number(seq), attempt, at: new Date(at).toISOString(), ...body, raw: field('r') };
}

/** The scripts write the time of `job.scheduled` in milliseconds; the copy has it as text. */
function bodyOf(text: string): { readonly kind: string; readonly body: string } | null {
  const known = KIND.exec(text)?.[1];
  if (known !== undefined && known !== 'job.scheduled') return { kind: known, body: text };
  try {
    const parsed = JSON.parse(text) as EventBody; // written by our scripts and executor
    if (typeof parsed.kind !== 'string') return null;
    if (parsed.kind !== 'job.scheduled') return { kind: parsed.kind, body: text };
    const scheduledFor = new Date(parsed.scheduledFor).toISOString();
    return { kind: parsed.kind, body: JSON.stringify({ ...parsed, scheduledFor }) };
  } catch {
    return null;
  }
}
