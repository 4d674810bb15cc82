/**
 * Tokens and costs of executions on every node: stored when a job's end is copied, added up for
 * reports.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { UsageDimension, UsageRow } from '../protocol/usage.ts';
import type { JobCopy } from './jobs.ts';
import { all, change } from './sql.ts';

/**
 * Stores one row per execution of the job, whose events are stored before its end. Cost basis
 * `none`: it was refused before a CLI ran, so it cost nothing. `unknown`: it was lost, for example.
 */
export function recordUsage(
  db: DatabaseSync,
  job: Pick<JobCopy, 'id' | 'project' | 'principal' | 'request'>,
): void {
  change(
    db,
    `INSERT INTO usage (execution_id, job_id, ended_at, project, principal, provider, model, tags, status,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, duration_ms, cost_usd, cost_basis)
     SELECT body ->> '$.executionId', job_id, at, ?, ?, coalesce(body ->> '$.outcome.provider', ?),
       coalesce(body ->> '$.outcome.model', ?), ?, body ->> '$.outcome.status',
       coalesce(body ->> '$.outcome.usage.inputTokens', 0), coalesce(body ->> '$.outcome.usage.outputTokens', 0),
       coalesce(body ->> '$.outcome.usage.cacheReadTokens', 0),
       coalesce(body ->> '$.outcome.usage.cacheWriteTokens', 0),
       body ->> '$.outcome.durationMs', body ->> '$.outcome.usage.costUsd',
       coalesce(body ->> '$.outcome.usage.costBasis', CASE
         WHEN body ->> '$.outcome.exit' IS NULL AND body ->> '$.outcome.error.code' IS NOT 'execution.lost'
         THEN 'none' ELSE 'unknown' END)
     FROM events WHERE job_id = ? AND kind = 'execution.finished'
     ON CONFLICT (execution_id) DO NOTHING`,
    job.project,
    job.principal,
    job.request.provider,
    job.request.model,
    JSON.stringify(job.request.tags),
    job.id,
  );
}

const KEYS: Readonly<Record<UsageDimension, string>> = {
  hour: 'substr(ended_at, 1, 13)',
  day: 'substr(ended_at, 1, 10)',
  provider: 'provider',
  model: 'model',
  project: 'project',
  caller: 'principal',
  tag: 'tag.value',
  total: "'total'",
};

export const usageReads = {
  /**
   * Adds up executions that ended in [from, to). By tag, an execution with two tags counts under
   * both, and one without tags under null. Percentiles are those of the nearest rank.
   */
  'usage.report'(
    db: DatabaseSync,
    args: {
      /** null: of every project. */
      readonly project: string | null;
      readonly by: UsageDimension;
      /** RFC 3339 in UTC as `Date.toISOString` writes it; null: no bound. */
      readonly from: string | null;
      readonly to: string | null;
    },
  ): UsageRow[] {
    const conditions = [
      ...(args.project === null ? [] : [{ sql: 'project = ?', value: args.project }]),
      ...(args.from === null ? [] : [{ sql: 'ended_at >= ?', value: args.from }]),
      ...(args.to === null ? [] : [{ sql: 'ended_at < ?', value: args.to }]),
    ];
    const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(({ sql }) => sql).join(' AND ')}`;
    const tags =
      args.by === 'tag' ? `LEFT JOIN json_each(iif(json_valid(usage.tags), usage.tags, '[]')) AS tag` : '';
    return all<UsageRow>(
      db,
      `WITH counted AS (SELECT ${KEYS[args.by]} AS key, usage.* FROM usage ${tags} ${where}),
       timed AS (SELECT key, duration_ms, row_number() OVER runs AS rank, count(*) OVER (PARTITION BY key) AS timed
         FROM counted WHERE duration_ms IS NOT NULL WINDOW runs AS (PARTITION BY key ORDER BY duration_ms)),
       times AS (SELECT key, min(duration_ms) FILTER (WHERE rank >= timed * 0.5) AS durationP50Ms,
         min(duration_ms) FILTER (WHERE rank >= timed * 0.95) AS durationP95Ms FROM timed GROUP BY key),
       sums AS (SELECT key, count(*) AS executions, sum(status = 'succeeded') AS succeeded,
         sum(status = 'cancelled') AS cancelled,
         avg(status = 'succeeded') FILTER (WHERE status <> 'cancelled') AS successRate,
         sum(input_tokens) AS inputTokens, sum(output_tokens) AS outputTokens,
         sum(cache_read_tokens) AS cacheReadTokens, sum(cache_write_tokens) AS cacheWriteTokens,
         round(total(cost_usd), 10) AS costUsd,
         round(total(cost_usd) FILTER (WHERE cost_basis = 'reported'), 10) AS reportedUsd,
         round(total(cost_usd) FILTER (WHERE cost_basis = 'estimated'), 10) AS estimatedUsd,
         sum(cost_basis = 'unknown') AS unknownCosts
       FROM counted GROUP BY key)
       SELECT sums.*, durationP50Ms, durationP95Ms FROM sums LEFT JOIN times ON times.key IS sums.key
       ORDER BY sums.key IS NULL, sums.key`,
      ...conditions.map(({ value }) => value),
    );
  },
};
