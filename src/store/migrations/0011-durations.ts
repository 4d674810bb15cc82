import type { Migration } from '../migrations.ts';

/** Adds how long each execution ran to the usage; null for older rows, and where no CLI ran. */
export const durations: Migration = {
  version: 11,
  name: 'durations',
  sql: 'ALTER TABLE usage ADD COLUMN duration_ms REAL;',
};
