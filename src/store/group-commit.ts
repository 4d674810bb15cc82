import type { DatabaseSync } from 'node:sqlite';
import { isDeferrable, isRepeatable, isWrite, operations } from './operations.ts';
import { storeError } from './sql.ts';
import type { OperationReply, OperationRequest } from './thread.ts';

export interface GroupCommit {
  readonly replies: readonly OperationReply[];
  readonly commits: number;
}

/**
 * Runs requests in one transaction. Each write has a savepoint of its own, so a failed one does not
 * affect the others. When this returns, the commit is on the disk; if all its writes are repeatable
 * or deferrable, it is written but perhaps not synced. When the transaction itself fails (a full
 * disk, for example), each request is tried again in a transaction of its own.
 */
export function commitTogether(db: DatabaseSync, requests: readonly OperationRequest[]): GroupCommit {
  const writes = requests.filter(({ op }) => isWrite(op));
  if (writes.length === 0) return answer(db, requests);
  // NORMAL writes commits in order without waiting for the disk
  // (sqlite.org/pragma.html#pragma_synchronous).
  const level = writes.every(({ op }) => isRepeatable(op) || isDeferrable(op)) ? 'NORMAL' : 'FULL';
  try {
    db.exec(`PRAGMA synchronous = ${level}; BEGIN IMMEDIATE`);
  } catch (error) {
    return answer(db, requests, error);
  }
  try {
    const replies: OperationReply[] = [];
    for (const request of requests) {
      replies.push(isWrite(request.op) ? inSavepoint(db, request) : runOperation(db, request));
      if (!db.isTransaction) return oneByOne(db, requests, replies);
    }
    db.exec('COMMIT');
    return { replies, commits: 1 };
  } catch (error) {
    rollBack(db);
    return oneByOne(
      db,
      requests,
      requests.map((request) => failed(request, error)),
    );
  }
}

/** SQLite may have rolled back already, or does so while it reports an error. */
function rollBack(db: DatabaseSync): void {
  try {
    if (db.isTransaction) db.exec('ROLLBACK');
  } catch (error) {
    if (db.isTransaction) throw error;
  }
}

/** Replies without a transaction. Writes fail with the error that kept it from beginning. */
function answer(db: DatabaseSync, requests: readonly OperationRequest[], refusal?: unknown): GroupCommit {
  return {
    replies: requests.map((request) =>
      isWrite(request.op) ? failed(request, refusal) : runOperation(db, request),
    ),
    commits: 0,
  };
}

function oneByOne(
  db: DatabaseSync,
  requests: readonly OperationRequest[],
  whenAlone: readonly OperationReply[],
): GroupCommit {
  if (requests.length === 1) return { replies: whenAlone, commits: 0 };
  const single = requests.map((request) => commitTogether(db, [request]));
  return {
    replies: single.flatMap(({ replies }) => replies),
    commits: single.reduce((sum, { commits }) => sum + commits, 0),
  };
}

function inSavepoint(db: DatabaseSync, request: OperationRequest): OperationReply {
  db.exec('SAVEPOINT operation');
  const reply = runOperation(db, request);
  if (!db.isTransaction) return reply;
  if (!reply.ok) db.exec('ROLLBACK TO operation');
  db.exec('RELEASE operation');
  return reply;
}

/** Runs one operation; never throws. */
export function runOperation(db: DatabaseSync, request: OperationRequest): OperationReply {
  // as: `Store.run` typed the arguments by the name of the operation.
  const operation = operations[request.op] as (db: DatabaseSync, args: unknown) => unknown;
  try {
    return { id: request.id, ok: true, value: operation(db, request.args) };
  } catch (error) {
    return failed(request, error);
  }
}

const failed = (request: OperationRequest, error: unknown): OperationReply => ({
  id: request.id,
  ok: false,
  error: storeError(error),
});
