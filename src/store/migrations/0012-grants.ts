import type { Migration } from '../migrations.ts';

/** What each job may do, as JSON: it comes back with a job that Redis has lost. */
export const grants: Migration = {
  version: 12,
  name: 'grants',
  sql: 'ALTER TABLE jobs ADD COLUMN granted TEXT;',
};
