import type { Migration } from '../migrations.ts';

/** Views for dashboards and reports, which read the ledger themselves (docs/operations.md). */
export const views: Migration = {
  version: 14,
  name: 'views',
  sql: `
CREATE VIEW jobs_by_day AS
SELECT substr(created_at, 1, 10) AS day, project, provider,
  count(*) AS jobs,
  sum(status = 'succeeded') AS succeeded,
  sum(status = 'failed') AS failed,
  sum(status = 'cancelled') AS cancelled,
  sum(finished_at IS NULL) AS unfinished,
  sum(cost_usd) AS cost_usd
FROM jobs GROUP BY 1, 2, 3;

CREATE VIEW running_now AS
SELECT id, project, principal, provider, model, node, session_id, cwd, attempts AS attempt, started_at, tags
FROM jobs WHERE status = 'running';

CREATE VIEW cost_by_tag AS
SELECT tag.value AS tag, project, substr(ended_at, 1, 10) AS day,
  count(*) AS executions,
  sum(cost_usd) AS cost_usd,
  sum(cost_basis = 'unknown') AS unknown_costs,
  sum(input_tokens) AS input_tokens,
  sum(output_tokens) AS output_tokens
FROM usage, json_each(iif(json_valid(usage.tags), usage.tags, '[]')) AS tag GROUP BY 1, 2, 3;
`,
};
