import type { Migration } from '../migrations.ts';

/** What an executor on another host than its server keeps. `accepted_at`: ms since the epoch. */
export const executor: Migration = {
  version: 17,
  name: 'executor',
  sql: `
-- The server's job of an execution that a server submitted, and the fingerprint of the request.
ALTER TABLE executions ADD COLUMN submission TEXT;

-- Which ledger this is. Another file has another id, also in the same data folder.
CREATE TABLE identity (id TEXT NOT NULL) STRICT;
INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));

-- Signatures that were accepted: none is accepted twice.
CREATE TABLE used_signatures (
  signature   TEXT PRIMARY KEY,
  accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_signatures_accepted ON used_signatures (accepted_at);
`,
};
