/** Reads of sessions for callers: those with a record, and those that their jobs alone make. */
import type { DatabaseSync } from 'node:sqlite';
import { foreignCursor } from '../errors.ts';
import { type Outcome, sumOfUsage, type Usage } from '../protocol/outcome.ts';
import { ULID } from '../protocol/schema.ts';
import { CHAT_TRANSITIONS, TURN_ENDS } from '../protocol/session-states.ts';
import type { StoreReads } from './approvals.ts';
import { decodeCursor, encodeCursor } from './list-jobs.ts';
import type { SessionRow } from './session-rows.ts';
import { all, first, readable } from './sql.ts';

/** The code of a job's error. An index has the same expression. */
const ERROR = "CASE WHEN json_valid(last.error) THEN last.error ->> '$.code' END";
const ENDS = Object.entries(TURN_ENDS)
  .map(([code, trigger]) => `WHEN '${code}' THEN '${CHAT_TRANSITIONS.ready[trigger]}'`)
  .join(' ');
/** The status of a session without a record, from its last job. */
const STATUS = `CASE
  WHEN EXISTS (SELECT 1 FROM approvals WHERE job_id = last.id AND status = 'pending') THEN 'awaiting_input'
  WHEN last.status = 'waiting' AND last.wait_reason = 'approval' THEN 'awaiting_input'
  WHEN last.finished_at IS NULL THEN iif(last.attempts > 0 OR made.turns > 1, 'busy', 'starting')
  ELSE CASE ${ERROR} ${ENDS} ELSE 'ready' END END`;

const RECORDS = `SELECT id, kind, explicit, name, status, status_reason AS statusReason, project, principal,
  provider, model, cwd, native_session_id AS nativeSessionId, node, turns, created_at AS createdAt,
  last_activity_at AS lastActivityAt, closed_at AS closedAt, tags, metadata,
  CASE WHEN json_valid(fork) THEN fork ->> '$.sessionId' END AS forkedFrom, matched_line AS matchedLine, cols,
  rows, exit_code AS exitCode, CASE WHEN json_valid(options) THEN options ->> '$.command' END AS command
  FROM sessions`;

const OF_JOBS = `SELECT made.session_id AS id, 'chat' AS kind, 0 AS explicit, NULL AS name, ${STATUS} AS status,
  iif(last.finished_at IS NULL, NULL, ${ERROR}) AS statusReason, one.project, one.principal, one.provider,
  one.model, one.cwd, (SELECT native_session_id FROM job_sessions WHERE job_sessions.session_id = made.session_id
    ORDER BY job_id DESC LIMIT 1) AS nativeSessionId, last.node, made.turns, one.created_at AS createdAt,
  coalesce(last.finished_at, last.updated_at) AS lastActivityAt, NULL AS closedAt, '[]' AS tags, '{}' AS metadata,
  NULL AS forkedFrom, NULL AS matchedLine, NULL AS cols, NULL AS rows, NULL AS exitCode, NULL AS command
  FROM made JOIN jobs AS one ON one.id = made.first JOIN jobs AS last ON last.id = made.last`;
const MADE = `SELECT session_id, min(id) AS first, max(id) AS last, count(*) AS turns FROM jobs WHERE kind = 'api'
  AND NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = jobs.session_id)`;

interface Columns extends Omit<SessionRow, 'explicit' | 'tags' | 'metadata' | 'usage' | 'terminal'> {
  readonly explicit: number;
  readonly tags: string;
  readonly metadata: string;
  readonly cols: number | null;
  readonly rows: number | null;
  readonly exitCode: number | null;
  readonly command: string | null;
}

function toRow(db: DatabaseSync, { cols, rows, exitCode, command, ...row }: Columns): SessionRow {
  return {
    ...row,
    explicit: row.explicit === 1,
    terminal: cols === null || rows === null ? null : { cols, rows, exitCode, command },
    tags: JSON.parse(row.tags),
    metadata: JSON.parse(row.metadata),
    usage: usageOf(db, row.id),
  };
}

const toRows = (db: DatabaseSync, rows: readonly Columns[]): SessionRow[] =>
  rows.flatMap((row) => readable(`session ${row.id}`, () => toRow(db, row)));

function usageOf(db: DatabaseSync, id: string): Usage | null {
  const rows = all<{ usage: string | null }>(
    db,
    `SELECT outcome -> '$.usage' AS usage FROM jobs
     WHERE session_id = ? AND outcome IS NOT NULL AND json_valid(outcome)`,
    id,
  );
  return rows
    .map(({ usage }): Usage | null => (usage === null ? null : JSON.parse(usage)))
    .reduce(sumOfUsage, null);
}

interface JobColumns {
  readonly jobId: string;
  readonly prompt: string;
  readonly status: string;
  readonly outcome: string | null;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

export const sessionListReads: Pick<StoreReads, 'sessions.get' | 'sessions.usage'> = {
  'sessions.get'(db, { id }) {
    const row =
      first<Columns>(db, `${RECORDS} WHERE id = ?`, id) ??
      first<Columns>(db, `WITH made AS (${MADE} AND session_id = ? GROUP BY session_id) ${OF_JOBS}`, id);
    return row === null ? null : (toRows(db, [row])[0] ?? null);
  },

  'sessions.usage': (db, { id }) => usageOf(db, id),
};

export const sessionReports: Pick<StoreReads, 'sessions.list' | 'sessions.turns' | 'sessions.counts'> = {
  'sessions.list'(db, { project, query, live }) {
    const { status, kind, provider, tag, q, limit } = query;
    const before = query.cursor === null ? [null, null] : placeOf(query.cursor);
    const text = q === null ? null : `%${q.replace(/[\\%_]/g, '\\$&')}%`;
    const found = all<Columns>(
      db,
      `WITH live AS (SELECT value AS id FROM json_each(?1)),
       made AS (${MADE} AND (?2 IS NULL OR project = ?2) GROUP BY session_id
         HAVING ?3 OR count(*) > 1 OR session_id IN (SELECT id FROM live)),
       shown AS (
         ${RECORDS} WHERE ?3 OR explicit OR turns > 1 OR id IN (SELECT id FROM live)
         UNION ALL ${OF_JOBS})
       SELECT * FROM shown WHERE (?2 IS NULL OR project = ?2)
         AND (?4 = '[]' OR status IN (SELECT value FROM json_each(?4)))
         AND (?5 IS NULL OR kind = ?5) AND (?6 IS NULL OR provider = ?6)
         AND NOT EXISTS (SELECT 1 FROM json_each(?7) AS wanted
           WHERE wanted.value NOT IN (SELECT value FROM json_each(shown.tags)))
         AND (?8 IS NULL OR name LIKE ?8 ESCAPE '\\' OR EXISTS (SELECT 1 FROM jobs
           WHERE jobs.session_id = shown.id AND jobs.prompt LIKE ?8 ESCAPE '\\'))
         AND (?9 IS NULL OR (lastActivityAt, id) < (?9, ?10))
       ORDER BY lastActivityAt DESC, id DESC LIMIT ?11`,
      ...[JSON.stringify(live), project, query.all ? 1 : 0, JSON.stringify(status), kind, provider],
      ...[JSON.stringify(tag), text, ...before, limit + 1],
    );
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const nextCursor = found.length > page.length && last !== undefined ? cursorOf(last) : null;
    return { data: toRows(db, page), nextCursor };
  },

  'sessions.turns'(db, { id, limit, cursor }) {
    const after = cursor === null ? '' : decodeCursor(cursor);
    const before = first<{ n: number }>(
      db,
      `SELECT count(*) AS n FROM jobs WHERE session_id = ? AND id <= ? AND kind = 'api'`,
      ...[id, after],
    );
    const found = all<JobColumns>(
      db,
      `SELECT id AS jobId, prompt, status, outcome, created_at AS createdAt, started_at AS startedAt,
         finished_at AS finishedAt FROM jobs WHERE session_id = ? AND id > ? AND kind = 'api' ORDER BY id LIMIT ?`,
      ...[id, after, limit + 1],
    );
    const page = found.slice(0, limit);
    const last = page.at(-1);
    const data = page.flatMap((row, index) =>
      readable(`job ${row.jobId}`, () => ({
        turn: (before?.n ?? 0) + index + 1,
        ...row,
        outcome: row.outcome === null ? null : (JSON.parse(row.outcome) as Outcome), // our copier wrote it
      })),
    );
    const nextCursor = found.length > page.length && last !== undefined ? encodeCursor(last.jobId) : null;
    return { data, nextCursor };
  },

  'sessions.counts'(db) {
    const rows = all<{ status: string; n: number }>(
      db,
      `SELECT status, count(*) AS n FROM sessions WHERE status <> 'closed' GROUP BY 1`,
    );
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
  },
};

const cursorOf = ({ lastActivityAt, id }: Pick<Columns, 'lastActivityAt' | 'id'>): string =>
  Buffer.from(`${lastActivityAt} ${id}`).toString('base64url');

/** @throws AppError request.invalid for a cursor that this server cannot have made */
function placeOf(cursor: string): [at: string, id: string] {
  const [at = '', id = ''] = Buffer.from(cursor, 'base64url').toString().split(' ');
  if (ULID.test(id) && !Number.isNaN(Date.parse(at)) && cursorOf({ lastActivityAt: at, id }) === cursor)
    return [at, id];
  throw foreignCursor();
}
