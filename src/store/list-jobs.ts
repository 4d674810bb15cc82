import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { AppError } from '../errors.ts';
import type { JobQuery } from '../protocol/job.ts';
import { readable } from './damaged-rows.ts';
import { type SummaryColumns, summaryColumns, toSummary } from './job-row.ts';
import { decodeListCursor, encodeListCursor } from './list-cursor.ts';
import { promptContains } from './prompt-search.ts';
import type { JobSummaryPage } from './rows.ts';
import { all } from './statement.ts';

/** One condition of the list and what it binds. The texts form a closed set, so each is prepared once. */
export interface Condition {
  readonly sql: string;
  readonly parameters: readonly SQLInputValue[];
}

export const listReads = {
  /** How many jobs there are in each state; a state without jobs is left out. */
  'jobs.countByStatus'(db: DatabaseSync, _args: Readonly<Record<string, never>>): Record<string, number> {
    const rows = all<{ status: string; count: number }>(
      db,
      'SELECT status, count(*) AS count FROM jobs GROUP BY status',
    );
    return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
  },

  /**
   * Jobs of an owner (null = of everybody), newest first: ULIDs sort by time, and jobs of one millisecond by
   * id. A page never repeats or skips a job that was there when the first page was read.
   */
  'jobs.list'(
    db: DatabaseSync,
    args: {
      readonly owner: string | null;
      readonly query: JobQuery;
      /** Ids among which all are that `q` finds; null, or left out: it may be any. */
      readonly among?: readonly string[] | null;
    },
  ): JobSummaryPage {
    const conditions = [...conditionsOf(args.owner, args.query)];
    if (args.among) {
      const sql = 'jobs.id IN (SELECT value FROM json_each(?))';
      conditions.push({ sql, parameters: [JSON.stringify(args.among)] });
    }
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(({ sql }) => sql).join(' AND ')}`;
    const found = all<SummaryColumns>(
      db,
      `SELECT ${summaryColumns} FROM jobs ${where} ORDER BY jobs.id DESC LIMIT ?`,
      ...conditions.flatMap(({ parameters }) => parameters),
      args.query.limit + 1,
    );
    const page = found.slice(0, args.query.limit);
    const rows = page.flatMap((row) => readable(`job ${row.id}`, () => toSummary(row)));
    const last = page.at(-1);
    const more = found.length > page.length && last !== undefined;
    return { rows, nextCursor: more ? encodeListCursor(last.id) : null };
  },
};

function* conditionsOf(owner: string | null, query: JobQuery): Generator<Condition> {
  if (owner !== null) yield { sql: 'jobs.owner = ?', parameters: [owner] };
  if (query.cursor !== null) yield { sql: 'jobs.id < ?', parameters: [decodeListCursor(query.cursor)] };
  yield* anyOf('jobs.status', query.status);
  yield* anyOf('jobs.provider', query.provider);
  for (const tag of new Set(query.tag)) {
    yield { sql: 'jobs.id IN (SELECT job_id FROM job_tags WHERE tag = ?)', parameters: [tag] };
  }
  if (query.batch !== null) {
    yield { sql: 'jobs.id IN (SELECT job_id FROM batch_jobs WHERE batch_id = ?)', parameters: [query.batch] };
  }
  if (query.createdAfter !== null) {
    yield { sql: 'jobs.created_at > ?', parameters: [instant('createdAfter', query.createdAfter)] };
  }
  if (query.createdBefore !== null) {
    yield { sql: 'jobs.created_at < ?', parameters: [instant('createdBefore', query.createdBefore)] };
  }
  if (query.q !== null && query.q !== '') yield* promptContains(query.q);
}

/** One value compares by `=`, so that an index that ends in the id also brings the order. */
function* anyOf(column: string, values: readonly string[]): Generator<Condition> {
  const [only] = values;
  if (only === undefined) return;
  if (values.length === 1) yield { sql: `${column} = ?`, parameters: [only] };
  else yield { sql: `${column} IN (SELECT value FROM json_each(?))`, parameters: [JSON.stringify(values)] };
}

/** Any RFC 3339 time in the form of the column, which sorts as text. */
function instant(name: string, value: string): string {
  const time = Date.parse(value);
  if (!Number.isNaN(time)) return new Date(time).toISOString();
  const message = 'must be an RFC 3339 date and time';
  throw new AppError('request.invalid', `${name} ${message}`, { problems: [{ path: `/${name}`, message }] });
}
