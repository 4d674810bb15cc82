import type { DatabaseSync } from 'node:sqlite';
import { isRepeatable, operations } from './operations.ts';
import { storeError } from './sqlite-error.ts';
import type { OperationReply, OperationRequest } from './thread-messages.ts';

export interface GroupCommit {
  readonly replies: readonly OperationReply[];
  readonly commits: number;
}

/**
 * Runs what was queued in one transaction, each operation in its own savepoint, so that one that fails fails
 * alone. The replies are true when this returns: the commit is on the disk, or at least written when all of it can be
 * repeated. When the transaction itself is lost (a full disk takes all of it), every request is tried again in a
 * transaction of its own.
 */
export function commitTogether(db: DatabaseSync, requests: readonly OperationRequest[]): GroupCommit {
  const changes = requests.filter(({ durable }) => durable);
  if (changes.length === 0) return answer(db, requests);
  // NORMAL: a commit is written, in order, but not waited for until the disk has it (sqlite.org/pragma.html#pragma_synchronous).
  const level = changes.every(({ op }) => isRepeatable(op)) ? 'NORMAL' : 'FULL';
  try {
    db.exec(`PRAGMA synchronous = ${level}; BEGIN IMMEDIATE`);
  } catch (error) {
    return answer(db, requests, error);
  }
  try {
    const replies: OperationReply[] = [];
    for (const request of requests) {
      replies.push(request.durable ? inSavepoint(db, request) : runOperation(db, request));
      if (!db.isTransaction) return oneByOne(db, requests, replies);
    }
    db.exec('COMMIT');
    return { replies, commits: 1 };
  } catch (error) {
    abandon(db);
    return oneByOne(
      db,
      requests,
      requests.map((request) => failed(request, error)),
    );
  }
}

/** Ends the transaction without a commit. SQLite may have done so already, or while it reports an error. */
function abandon(db: DatabaseSync): void {
  try {
    if (db.isTransaction) db.exec('ROLLBACK');
  } catch (error) {
    if (db.isTransaction) throw error;
  }
}

/** Without a transaction; changes fail with what kept it from beginning. */
function answer(db: DatabaseSync, requests: readonly OperationRequest[], refusal?: unknown): GroupCommit {
  return {
    replies: requests.map((request) =>
      request.durable ? failed(request, refusal) : runOperation(db, request),
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
