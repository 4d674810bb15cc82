/**
 * Lists of jobs: conditions, pages, and the search for text in prompts and answers. Runs in the
 * reader's thread.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { foreignCursor } from '../errors.ts';
import { isFinished, JOB_STATUSES, type JobListItem, type JobQuery } from '../protocol/job.ts';
import { instant, ULID } from '../protocol/schema.ts';
import { ARCHIVED, BATCH_ID } from './jobs.ts';
import { type Gated, shown } from './shown-jobs.ts';
import { all, readable } from './sql.ts';

/** A job in a list, without its prompt and its outcome's text. */
export type JobSummary = Omit<JobListItem, 'finished' | 'links'> & {
  readonly kind: 'api' | 'raw';
};

export interface JobSummaryPage {
  readonly rows: readonly JobSummary[];
  /** null on the last page. */
  readonly nextCursor: string | null;
}

/** How many jobs there are. */
export interface JobCounts {
  readonly byStatus: Readonly<Record<string, number>>;
  /** Those that have not ended. `since`: when the first of them was made, or last changed. */
  readonly open: readonly {
    readonly status: string;
    readonly provider: string;
    readonly count: number;
    readonly since: string;
  }[];
}

const OPEN = JSON.stringify(JOB_STATUSES.filter((status) => !isFinished(status)));

/** None of these columns is large. */
const columns = `jobs.id, jobs.kind, jobs.project, jobs.principal, jobs.provider, jobs.tags, jobs.metadata, jobs.attempts,
  jobs.session_id AS sessionId, jobs.retry_of AS retryOf, jobs.node, jobs.created_at AS createdAt, jobs.started_at AS startedAt,
  jobs.finished_at AS finishedAt, jobs.prompt_preview AS promptPreview, jobs.error, jobs.cost_usd AS costUsd, jobs.model,
  (SELECT native_session_id FROM job_sessions WHERE job_sessions.session_id = jobs.session_id AND job_id = jobs.id)
    AS nativeSessionId,
  CASE WHEN json_valid(jobs.request) THEN jobs.request ->> '$.priority' END AS priority,
  CASE WHEN json_valid(jobs.request) THEN jobs.request ->> '$.customId' END AS customId,
  coalesce((SELECT denied FROM job_denials WHERE job_id = jobs.id), 0) AS deniedTools, ${BATCH_ID}, ${ARCHIVED}`;

interface Columns extends Omit<JobSummary, 'archived' | 'tags' | 'metadata' | 'error' | 'priority'> {
  readonly archived: number;
  /** null: the request of the row is not JSON. */
  readonly priority: number | null;
  readonly tags: string;
  readonly metadata: string;
  readonly error: string | null;
}

/** @throws Error when the row cannot be read */
function toSummary({ archived, tags, metadata, error, priority, ...rest }: Columns): JobSummary {
  if (priority === null) throw new Error('its request is not JSON');
  return {
    ...rest,
    archived: archived === 1,
    priority,
    tags: JSON.parse(tags),
    metadata: JSON.parse(metadata),
    error: error === null ? null : JSON.parse(error),
  };
}

export const listReads = {
  /** Counts of all jobs. A status without jobs is left out. */
  'jobs.counts'(db: DatabaseSync, args: Gated): JobCounts {
    const { status } = shown(args);
    const rows = all<{ status: string; count: number }>(
      db,
      `SELECT ${status} AS status, count(*) AS count FROM jobs GROUP BY 1`,
    );
    const open = all<JobCounts['open'][number]>(
      db,
      `SELECT ${status} AS status, provider, count(*) AS count, min(CASE
         WHEN attempts = 0 AND iif(json_valid(request), request ->> '$.delayMs', 1) = 0 THEN created_at
         ELSE updated_at END) AS since
       FROM jobs WHERE jobs.status IN (SELECT value FROM json_each(?)) GROUP BY 1, 2`,
      OPEN,
    );
    return { byStatus: Object.fromEntries(rows.map(({ status, count }) => [status, count])), open };
  },

  /**
   * One page of jobs, newest first: ids are ULIDs, which sort by time. Later pages neither repeat
   * nor skip a job that existed when the first page was read.
   */
  'jobs.list'(
    db: DatabaseSync,
    args: {
      /** null: of every project. */
      readonly project: string | null;
      readonly query: JobQuery;
      /** Ids among which all matches of `q` are. null or left out: any job may match. */
      readonly among?: readonly string[] | null;
    } & Gated,
  ): JobSummaryPage {
    const state = shown(args);
    const conditions = [...conditionsOf(args.project, args.query, state)];
    if (args.among) {
      const sql = 'jobs.id IN (SELECT value FROM json_each(?))';
      conditions.push({ sql, parameters: [JSON.stringify(args.among)] });
    }
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(({ sql }) => sql).join(' AND ')}`;
    const found = all<Columns>(
      db,
      `SELECT ${columns}, ${state.status} AS status, ${state.waitReason} AS waitReason,
         ${state.scheduledFor} AS scheduledFor FROM jobs ${where} ORDER BY jobs.id DESC LIMIT ?`,
      ...conditions.flatMap(({ parameters }) => parameters),
      args.query.limit + 1,
    );
    const page = found.slice(0, args.query.limit);
    const rows = page.flatMap((row) => readable(`job ${row.id}`, () => toSummary(row)));
    const last = page.at(-1);
    const more = found.length > page.length && last !== undefined;
    return { rows, nextCursor: more ? encodeCursor(last.id) : null };
  },
};

/** The code of a job's error. An index has the same expression. */
const ERROR_CODE = "(CASE WHEN json_valid(jobs.error) THEN jobs.error ->> '$.code' END)";

/** A condition and its parameters. The texts form a closed set, so each is prepared once. */
interface Condition {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

function* conditionsOf(
  project: string | null,
  query: JobQuery,
  state: ReturnType<typeof shown>,
): Generator<Condition> {
  if (project !== null) yield { sql: 'jobs.project = ?', parameters: [project] };
  if (query.cursor !== null) yield { sql: 'jobs.id < ?', parameters: [decodeCursor(query.cursor)] };
  // A job behind a gate is stored as queued: an index finds those that may match.
  if (state.status !== 'jobs.status' && query.status !== undefined)
    yield* anyOf('jobs.status', [...query.status, 'queued']);
  yield* anyOf(state.status, query.status);
  yield* anyOf(state.waitReason, query.waitReason);
  yield* anyOf('jobs.provider', query.provider);
  yield* anyOf('jobs.model', query.model);
  yield* anyOf('jobs.session_id', query.session);
  yield* anyOf('jobs.project', query.project);
  yield* anyOf('jobs.principal', query.principal);
  if (query.errorCode !== undefined) {
    yield { sql: 'jobs.error IS NOT NULL', parameters: [] }; // the condition of the index
    yield* anyOf(ERROR_CODE, query.errorCode);
  }
  for (const tag of new Set(query.tag)) {
    yield { sql: 'jobs.id IN (SELECT job_id FROM job_tags WHERE tag = ?)', parameters: [tag] };
  }
  if (query.batch !== undefined) {
    yield { sql: 'jobs.id IN (SELECT job_id FROM batch_jobs WHERE batch_id = ?)', parameters: [query.batch] };
  }
  if (query.archived !== undefined) {
    yield {
      sql: `jobs.id ${query.archived ? '' : 'NOT '}IN (SELECT job_id FROM archived_jobs)`,
      parameters: [],
    };
  }
  if (query.createdAfter !== undefined) {
    yield { sql: 'jobs.created_at > ?', parameters: [timeText('createdAfter', query.createdAfter)] };
  }
  if (query.createdBefore !== undefined) {
    yield { sql: 'jobs.created_at < ?', parameters: [timeText('createdBefore', query.createdBefore)] };
  }
  if (query.q !== undefined) yield* textContains(query.q);
}

/** With one value it compares by `=`: an index that ends in the id then also gives the order. */
function* anyOf(column: string, given: string | readonly string[] = []): Generator<Condition> {
  const values = [given].flat();
  const [only] = values;
  if (only === undefined) return;
  if (values.length === 1) yield { sql: `${column} = ?`, parameters: [only] };
  else yield { sql: `${column} IN (SELECT value FROM json_each(?))`, parameters: [JSON.stringify(values)] };
}

/** Converts any RFC 3339 time to the form of the columns, which sorts as text. */
const timeText = (name: string, value: string): string => new Date(instant(name, value)).toISOString();

/** The answer of a job; '' while there is none. */
export const ANSWER = `CASE WHEN json_valid(jobs.outcome) THEN coalesce(jobs.outcome ->> '$.text', '') ELSE '' END`;

/**
 * Whether the prompt or the answer contains a text, without regard to case. LIKE is fast but folds
 * ASCII only. It decides alone when no other character of the text has a case. Otherwise it
 * excludes most jobs, and the slower `contains_folded` decides.
 */
function* textContains(text: string): Generator<Condition> {
  const beyondAscii = text.replace(/\p{ASCII}+/gu, '');
  const folded = text.toLowerCase();
  const ascii = beyondAscii.toLowerCase() === beyondAscii.toUpperCase();
  const literal = folded.replace(/[\\%_]/g, '\\$&');
  const pattern = ascii ? literal : literal.replace(/\P{ASCII}+/gu, '%');
  const like = String.raw`LIKE ? ESCAPE '\'`;
  yield {
    sql: `(jobs.prompt ${like} OR ${ANSWER} ${like})`,
    parameters: [`%${pattern}%`, `%${pattern}%`],
  };
  if (ascii) return;
  const sql = `(contains_folded(jobs.prompt, ?) OR contains_folded(${ANSWER}, ?))`;
  yield { sql, parameters: [folded, folded] };
}

/** Adds the function that a search needs to a database. */
export function addTextSearch(db: DatabaseSync): void {
  db.function('contains_folded', { deterministic: true, directOnly: true }, (text, folded) =>
    String(text).toLowerCase().includes(String(folded)) ? 1 : 0,
  );
}

/** Cursors are opaque to callers, so their content may change. */
export const encodeCursor = (lastId: string): string => Buffer.from(lastId).toString('base64url');

/** @throws AppError request.invalid for a cursor that this server cannot have made */
export function decodeCursor(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString();
  if (ULID.test(id) && encodeCursor(id) === cursor) return id;
  throw foreignCursor();
}
