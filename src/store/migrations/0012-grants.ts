import type { Migration } from '../migrations.ts';

/**
 * What each job may do, as JSON: it comes back with a job that Redis has lost. 1: it should have
 * been signed and was not.
 */
export const grants: Migration = {
  version: 12,
  name: 'grants',
  sql: `
ALTER TABLE jobs ADD COLUMN granted TEXT;
ALTER TABLE jobs ADD COLUMN forged INTEGER NOT NULL DEFAULT 0;
`,
};
