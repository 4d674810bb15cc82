import type { Migration } from '../migrations.ts';

/** Browser logins that were ended before they expired. `until_ms`: ms since the epoch. */
export const logins: Migration = {
  version: 18,
  name: 'logins',
  sql: `
CREATE TABLE ended_logins (
  id       TEXT PRIMARY KEY,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`,
};
