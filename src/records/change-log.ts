import type { Redis } from 'ioredis';
import { AppError } from '../errors.ts';
import { APPROVAL_STATUSES } from '../protocol/approval.ts';
import type { ApprovalChange, GateChange, JobChange, SessionChange } from '../protocol/change.ts';
import { isFinished } from '../protocol/job.ts';
import { ULID } from '../protocol/schema.ts';
import { SESSION_STATUSES } from '../protocol/session-states.ts';
import type { Names } from '../redis/names.ts';
import { isStatus } from './record-codec.ts';

/** The cursor before the first entry. */
export const LOG_START = '0-0';

/** An entry of the log of changes. */
export interface LogEntry {
  readonly cursor: string;
  /** The job's project; null: not known. */
  readonly project: string | null;
  /** null: there is nothing to show. */
  readonly change: JobChange | null;
  /** null: the entry is about no gate. */
  readonly gate: GateChange | null;
  /** null: the entry is about no approval. */
  readonly approval: ApprovalChange | null;
  /** null: the entry is about no session. */
  readonly session: SessionChange | null;
}

/** The changes of all jobs, in order. Every node reads the same log. */
export interface ChangeLog {
  /** Names this log; another one, or null, after Redis lost its data. */
  id(): Promise<string | null>;
  /** The cursor of the newest entry; {@link LOG_START} for none. */
  newest(): Promise<string>;
  /**
   * The first entries after a cursor.
   * @throws AppError events.expired when the log no longer has the entry of the cursor
   */
  after(cursor: string, limit: number): Promise<readonly LogEntry[]>;
}

type StreamEntry = readonly [id: string, fields: readonly string[]];

/** {@link ChangeLog} over the log in Redis. */
export function createChangeLog(redis: Pick<Redis, 'xrange' | 'xrevrange' | 'get'>, names: Names): ChangeLog {
  const range = async (from: string, count: number): Promise<readonly StreamEntry[]> =>
    (await redis.xrange(names.log, from, '+', 'COUNT', count)) as StreamEntry[]; // ids and fields

  return {
    id: () => redis.get(`${names.log}:id`),

    async newest() {
      const [entry] = (await redis.xrevrange(names.log, '+', '-', 'COUNT', 1)) as StreamEntry[]; // ids and fields
      return entry?.[0] ?? LOG_START;
    },

    async after(cursor, limit) {
      if (cursor === LOG_START) return (await range('-', limit)).map(decodeLogEntry);
      // The entry of the cursor itself is read, too: only while it is there, nothing behind it can
      // be missing.
      const [own, ...entries] = await range(cursor, limit + 1);
      if (own?.[0] !== cursor) {
        throw new AppError(
          'events.expired',
          `the events after ${cursor} are no longer kept; begin without a cursor`,
        );
      }
      return entries.map(decodeLogEntry);
    },
  };
}

const MAX_REASON_CHARS = 100;
const MAX_GATE_CHARS = 300;

/**
 * Converts an entry of the log. `change` is null for an entry that no reader can be shown: one of
 * another program, or from before entries had a state.
 */
export function decodeLogEntry([cursor, fields]: StreamEntry): LogEntry {
  const field = new Map<string, string>();
  for (let at = 2; at + 1 < fields.length; at += 2) field.set(fields[at] ?? '', fields[at + 1] ?? '');
  const text = (name: string): string | null => field.get(name) || null;
  const gate = gateOf(cursor, fields, text);
  const approval = approvalOf(cursor, fields, text);
  const session = sessionOf(cursor, fields, text);
  return { cursor, project: text('p'), change: changeOf(cursor, fields, text), gate, approval, session };
}

function changeOf(
  cursor: string,
  [type, jobId = '']: readonly string[],
  text: (name: string) => string | null,
): JobChange | null {
  const at = timeOf(cursor.split('-')[0] ?? null);
  const status = text('t');
  const [rev, attempts] = [countOf(text('v')), countOf(text('a'))];
  if (!['j', 'd', 'c'].includes(type ?? '') || !ULID.test(jobId) || at === null) return null;
  if (status === null || !isStatus(status) || rev === null || attempts === null) return null;
  const ended = isFinished(status) && type !== 'c';
  const changed = ended ? 'job.finished' : rev === 1 ? 'job.created' : 'job.changed';
  return {
    cursor,
    kind: type === 'd' ? 'job.deleted' : changed,
    at,
    jobId,
    sessionId: text('s'),
    batchId: text('b'),
    rev,
    status,
    waitReason: text('w')?.slice(0, MAX_REASON_CHARS) ?? null,
    scheduledFor: timeOf(text('f')),
    attempts,
    cancelRequested: text('c') !== null,
  };
}

function approvalOf(
  cursor: string,
  [type, approvalId = '']: readonly string[],
  text: (name: string) => string | null,
): ApprovalChange | null {
  const at = timeOf(cursor.split('-')[0] ?? null);
  const jobId = text('j');
  const status = APPROVAL_STATUSES.find((one) => one === text('t'));
  if (type !== 'q' || !ULID.test(approvalId) || at === null || jobId === null || status === undefined)
    return null;
  return { cursor, kind: 'approval.changed', at, approvalId, jobId, sessionId: text('s'), status };
}

const STATUSES = [...SESSION_STATUSES, 'deleted'] as const;

function sessionOf(
  cursor: string,
  [type, sessionId = '']: readonly string[],
  text: (name: string) => string | null,
): SessionChange | null {
  const at = timeOf(cursor.split('-')[0] ?? null);
  const status = STATUSES.find((one) => one === text('t'));
  if (type !== 's' || !ULID.test(sessionId) || at === null || status === undefined) return null;
  const sessionKind = (['chat', 'terminal'] as const).find((one) => one === text('k')) ?? null;
  return { cursor, kind: 'session.changed', at, sessionId, sessionKind, status };
}

function gateOf(
  cursor: string,
  [type, gate = '']: readonly string[],
  text: (name: string) => string | null,
): GateChange | null {
  const at = timeOf(cursor.split('-')[0] ?? null);
  if (type !== 'g' || at === null) return null;
  const reason = text('r')?.slice(0, MAX_REASON_CHARS) ?? null;
  return {
    ...{ cursor, kind: reason === null ? 'gate.opened' : 'gate.closed', at },
    ...{ gate: gate.slice(0, MAX_GATE_CHARS), reason, until: timeOf(text('u')) },
  };
}

/** The last millisecond a Date can hold. */
const MAX_TIME = 8.64e15;

function countOf(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

function timeOf(text: string | null): string | null {
  const ms = countOf(text);
  return ms === null || ms > MAX_TIME ? null : new Date(ms).toISOString();
}
