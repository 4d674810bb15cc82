import type { Migration } from '../migrations.ts';

/** The only node that may run a job, which says whether a gate of a node keeps it waiting. */
export const pins: Migration = {
  version: 9,
  name: 'pins',
  sql: 'ALTER TABLE jobs ADD COLUMN pin TEXT;',
};
