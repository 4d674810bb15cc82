import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';

const cache = new WeakMap<DatabaseSync, Map<string, StatementSync>>();

/** The prepared statement of this text on this database; prepared once. Texts must come from a closed set. */
function statement(db: DatabaseSync, sql: string): StatementSync {
  let statements = cache.get(db);
  if (statements === undefined) {
    statements = new Map();
    cache.set(db, statements);
  }
  let prepared = statements.get(sql);
  if (prepared === undefined) {
    prepared = db.prepare(sql);
    statements.set(sql, prepared);
  }
  return prepared;
}

type Parameters = readonly SQLInputValue[];

/** Every row. `Row` names the selected columns as the migrations declare them. */
export function all<Row>(db: DatabaseSync, sql: string, ...parameters: Parameters): Row[] {
  // as: rows are written only by this folder, into STRICT tables.
  return statement(db, sql).all(...parameters) as Row[];
}

/** The first row, or null. */
export function first<Row>(db: DatabaseSync, sql: string, ...parameters: Parameters): Row | null {
  // as: see `all`.
  return (statement(db, sql).get(...parameters) as Row | undefined) ?? null;
}

/** Runs a statement and answers how many rows it changed. */
export function change(db: DatabaseSync, sql: string, ...parameters: Parameters): number {
  return Number(statement(db, sql).run(...parameters).changes);
}
