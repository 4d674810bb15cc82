/** This node's copies of the records of sessions, and what Redis needs to make one again. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { isFinished } from '../protocol/job.ts';
import { CHAT_TRANSITIONS, TURN_ENDS } from '../protocol/session-states.ts';
import { optionsOf } from '../records/session-codec.ts';
import type { SessionEntry, SessionRecord } from '../records/session-ports.ts';
import { type JobCopy, jobReads } from './jobs.ts';
import { all, change, first, readable } from './sql.ts';

/** A session with the entries of its stream that may be new. */
export interface SessionCopy {
  readonly record: SessionRecord;
  readonly entries: readonly SessionEntry[];
}

const COLUMNS = [
  ...(['id', 'rev', 'kind', 'explicit', 'name', 'status', 'status_reason', 'project'] as const),
  ...(['principal', 'provider', 'model', 'cwd', 'native_session_id', 'node', 'turns', 'last_seq'] as const),
  ...([
    'created_at',
    'last_activity_at',
    'closed_at',
    'tags',
    'metadata',
    'options',
    'fork',
    'rules',
  ] as const),
  ...(['matched_line', 'cols', 'rows', 'exit_code'] as const),
];

const UPSERT = `INSERT INTO sessions (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map(() => '?').join(', ')})
  ON CONFLICT (id) DO UPDATE SET ${COLUMNS.map((column) => `${column} = excluded.${column}`).join(', ')}
  WHERE excluded.rev > sessions.rev`;

const timeOf = (ms: number): string => new Date(ms).toISOString();

/** Stores a session, unless the stored revision is as new, and the entries of its stream. */
export function applySession(db: DatabaseSync, { record, entries }: SessionCopy): void {
  const { options } = record;
  const row: Record<(typeof COLUMNS)[number], SQLInputValue> = {
    id: record.id,
    rev: record.rev,
    kind: record.kind,
    explicit: record.explicit ? 1 : 0,
    name: record.name,
    status: record.status,
    status_reason: record.statusReason,
    project: record.project,
    principal: record.principal,
    provider: options.provider,
    model: options.model ?? null,
    cwd: options.cwd,
    native_session_id: record.nativeSessionId,
    node: record.node,
    turns: record.turns,
    last_seq: record.lastSeq,
    created_at: timeOf(record.createdAt),
    last_activity_at: timeOf(record.lastActivityAt),
    closed_at: record.closedAt === null ? null : timeOf(record.closedAt),
    tags: JSON.stringify(record.tags),
    metadata: JSON.stringify(record.metadata),
    options: JSON.stringify(options),
    fork: record.fork === null ? null : JSON.stringify(record.fork),
    rules: JSON.stringify(record.rules),
    matched_line: record.matchedLine,
    cols: record.terminal?.cols ?? null,
    rows: record.terminal?.rows ?? null,
    exit_code: record.terminal?.exitCode ?? null,
  };
  change(db, UPSERT, ...COLUMNS.map((column) => row[column]));
  for (const entry of entries) applyEntry(db, record.id, entry);
}

/** Stores an entry. A pointer that has grown replaces the shorter one. */
function applyEntry(db: DatabaseSync, id: string, entry: SessionEntry): void {
  if ('event' in entry) return; // what a terminal shows is in its recording
  const isStatus = 'status' in entry;
  const firstSeq = isStatus ? entry.seq : entry.seq - entry.to + entry.from;
  change(
    db,
    `INSERT INTO session_events (session_id, seq, first_seq, job_id, job_seq, status, reason, at, matched_line)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (session_id, first_seq) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > session_events.seq`,
    ...[id, entry.seq, firstSeq],
    ...(isStatus
      ? [null, null, entry.status, entry.reason, entry.at, entry.matchedLine ?? null]
      : [entry.jobId, entry.from, null, null, null, null]),
  );
}

/** Removes the copies of a session; those of its jobs stay. */
export const deleteSession = (db: DatabaseSync, id: string): number =>
  change(db, 'DELETE FROM sessions WHERE id = ?', id);

interface Columns {
  readonly id: string;
  readonly rev: number;
  readonly kind: 'chat' | 'terminal';
  readonly explicit: number;
  readonly name: string | null;
  readonly status: SessionRecord['status'];
  readonly statusReason: string | null;
  readonly project: string;
  readonly principal: string;
  readonly nativeSessionId: string | null;
  readonly node: string | null;
  readonly turns: number;
  readonly lastSeq: number;
  readonly createdAt: string;
  readonly lastActivityAt: string;
  readonly closedAt: string | null;
  readonly tags: string;
  readonly metadata: string;
  readonly options: string;
  readonly fork: string | null;
  readonly rules: string;
  readonly matchedLine: string | null;
  readonly cols: number | null;
  readonly rows: number | null;
  readonly exitCode: number | null;
}

function toRecord({ cols, rows, exitCode, ...row }: Columns): SessionRecord {
  return {
    ...row,
    explicit: row.explicit === 1,
    signed: true,
    createdAt: Date.parse(row.createdAt),
    lastActivityAt: Date.parse(row.lastActivityAt),
    closedAt: row.closedAt === null ? null : Date.parse(row.closedAt),
    tags: JSON.parse(row.tags),
    metadata: JSON.parse(row.metadata),
    options: JSON.parse(row.options),
    fork: row.fork === null ? null : JSON.parse(row.fork),
    rules: JSON.parse(row.rules),
    terminal: cols === null || rows === null ? null : { cols, rows, exitCode },
  };
}

const RECORD = `id, rev, kind, explicit, name, status, status_reason AS statusReason, project, principal,
  native_session_id AS nativeSessionId, node, turns, last_seq AS lastSeq, created_at AS createdAt,
  last_activity_at AS lastActivityAt, closed_at AS closedAt, tags, metadata, options, fork, rules,
  matched_line AS matchedLine, cols, rows, exit_code AS exitCode`;

interface Entry {
  readonly seq: number;
  readonly firstSeq: number;
  readonly jobId: string | null;
  readonly jobSeq: number | null;
  readonly status: SessionRecord['status'] | null;
  readonly reason: string | null;
  readonly at: string | null;
  readonly matchedLine: string | null;
}

function toEntry({ seq, firstSeq, jobId, jobSeq, status, reason, at, matchedLine }: Entry): SessionEntry {
  if (jobId !== null && jobSeq !== null) return { seq, jobId, from: jobSeq, to: jobSeq + seq - firstSeq };
  if (status === null || at === null) throw new Error('it is neither a change nor a pointer');
  return { seq, at, status, reason, ...(matchedLine !== null && { matchedLine }) };
}

/** The jobs of a session without a record, in order. */
function jobsOf(db: DatabaseSync, sessionId: string): JobCopy[] {
  const ids = all<{ id: string }>(
    db,
    `SELECT id FROM jobs WHERE session_id = ? AND kind = 'api' ORDER BY id`,
    sessionId,
  );
  return ids.flatMap(({ id }) =>
    readable(`job ${id}`, () => jobReads['jobs.get'](db, { id })).filter((job) => job !== null),
  );
}

/** The record that a session would have, from the copies of its jobs. */
function recordOf(db: DatabaseSync, id: string): SessionRecord | null {
  const jobs = jobsOf(db, id);
  const [one, last] = [jobs[0], jobs.at(-1)];
  if (one === undefined || last === undefined) return null;
  const code = last.outcome?.error?.code ?? null;
  const trigger = (code !== null && TURN_ENDS[code]) || 'ended';
  return {
    id,
    ...{ rev: 0, kind: 'chat', explicit: false, name: null },
    status: isFinished(last.status) ? (CHAT_TRANSITIONS.ready[trigger] ?? 'ready') : 'ready',
    statusReason: code,
    project: one.project,
    principal: one.principal,
    options: optionsOf(one.request),
    signed: true,
    nativeSessionId: jobs.findLast((job) => job.nativeSessionId !== null)?.nativeSessionId ?? null,
    fork: null,
    node: jobs.findLast((job) => job.nativeSessionId !== null)?.node ?? null,
    rules: [],
    matchedLine: null,
    terminal: null,
    turns: jobs.length,
    lastSeq: entriesOf(db, id).at(-1)?.seq ?? 0,
    createdAt: Date.parse(one.createdAt),
    lastActivityAt: Date.parse(last.finishedAt ?? last.createdAt),
    ...{ closedAt: null, tags: [], metadata: {} },
  };
}

/** The stream that a session without a record would have. */
function entriesOf(db: DatabaseSync, id: string): SessionEntry[] {
  const jobs = all<{ jobId: string; to: number }>(
    db,
    `SELECT jobs.id AS jobId, max(seq) AS "to" FROM jobs JOIN events ON job_id = jobs.id
     WHERE session_id = ? AND jobs.kind = 'api' GROUP BY jobs.id ORDER BY jobs.id`,
    id,
  );
  let seq = 0;
  return jobs.map(({ jobId, to }) => {
    seq += to;
    return { seq, jobId, from: 1, to };
  });
}

function copyOf(db: DatabaseSync, id: string): SessionCopy | null {
  const row = first<Columns>(db, `SELECT ${RECORD} FROM sessions WHERE id = ?`, id);
  if (row === null) {
    const record = recordOf(db, id);
    return record && { record, entries: entriesOf(db, id) };
  }
  const [stored] = readable(`session ${id}`, () => toRecord(row));
  // The options of a session that POST did not make are those of its first job, which is signed.
  const job = stored?.explicit === false ? jobsOf(db, id)[0] : undefined;
  const record = stored && (job === undefined ? stored : { ...stored, options: optionsOf(job.request) });
  return record === undefined
    ? null
    : { record, entries: sessionCopyReads['sessions.entries'](db, { id, after: 0, limit: -1 }) };
}

export const sessionCopyReads = {
  /**
   * The record of a session with all entries of its stream, also of one that had none. `waiting`:
   * turns that never began.
   */
  'sessions.copy'(
    db: DatabaseSync,
    { id }: { readonly id: string },
  ): (SessionCopy & { readonly waiting: number }) | null {
    const waiting = first<{ n: number }>(
      db,
      'SELECT count(*) AS n FROM jobs WHERE session_id = ? AND finished_at IS NULL AND attempts = 0',
      id,
    );
    const copy = copyOf(db, id);
    return copy && { ...copy, waiting: waiting?.n ?? 0 };
  },

  /** Ids of the sessions with a record, in order. */
  'sessions.ids'(db: DatabaseSync, args: { readonly after: string; readonly limit: number }): string[] {
    const sql = 'SELECT id FROM sessions WHERE id > ? ORDER BY id LIMIT ?';
    return all<{ id: string }>(db, sql, args.after, args.limit).map(({ id }) => id);
  },

  /** Entries with events with a seq above `after`, in order; a negative limit: all. */
  'sessions.entries'(
    db: DatabaseSync,
    { id, after, limit }: { readonly id: string; readonly after: number; readonly limit: number },
  ): readonly SessionEntry[] {
    if (first(db, 'SELECT 1 FROM sessions WHERE id = ?', id) === null)
      return entriesOf(db, id).filter(({ seq }) => seq > after);
    const rows = all<Entry>(
      db,
      `SELECT seq, first_seq AS firstSeq, job_id AS jobId, job_seq AS jobSeq, status, reason, at,
         matched_line AS matchedLine FROM session_events
       WHERE session_id = ? AND seq > ? ORDER BY first_seq LIMIT ?`,
      ...[id, after, limit],
    );
    return rows.flatMap((row) => readable(`session ${id}/${row.seq}`, () => toEntry(row)));
  },

  /** The seq before the last stored entry, which may have grown since. */
  'sessions.copied'(db: DatabaseSync, args: { readonly id: string }): number {
    const sql = 'SELECT max(first_seq) AS seq FROM session_events WHERE session_id = ?';
    return Math.max(0, (first<{ seq: number | null }>(db, sql, args.id)?.seq ?? 0) - 1);
  },
};
