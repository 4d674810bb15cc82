/**
 * The reader's thread. It runs lists, searches and reports on a read-only connection, and keeps the
 * search index.
 */
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { runOperation } from './group-commit.ts';
import { addTextSearch } from './list-jobs.ts';
import type { Operations } from './operations.ts';
import { openSearchIndex, type SearchIndex } from './search-index.ts';
import { addShownState } from './shown-jobs.ts';
import { storeError, takeDamage } from './sql.ts';
import type { FromThread, OperationRequest, ToThread } from './thread.ts';

const SEARCH_FILE = 'search.db';
const BUSY_TIMEOUT_MS = 5_000;
/** Pause after a failure of the index, most often a full disk. */
const RETRY_MS = 10_000;

function serve(port: MessagePort, file: string): void {
  const post = (message: FromThread): void => port.postMessage(message);
  let db: DatabaseSync;
  try {
    db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    db.exec('PRAGMA cache_size = -16384');
    addTextSearch(db);
    addShownState(db);
  } catch (error) {
    post({ kind: 'refused', error: storeError(error) });
    port.close();
    return;
  }
  let index: SearchIndex | null = null;
  let timer: NodeJS.Timeout | null = null;

  /** Updates the index in small steps with pauses of the same length, in which reads run. */
  function updateIndex(): void {
    const startedAt = performance.now();
    timer = null;
    try {
      index ??= openSearchIndex(join(dirname(file), SEARCH_FILE), db);
      if (index.step()) timer = setTimeout(updateIndex, performance.now() - startedAt);
    } catch (error) {
      post({ kind: 'indexFailed', message: messageOf(error) });
      timer = setTimeout(updateIndex, RETRY_MS);
    }
  }

  function answer(request: OperationRequest): void {
    const replies = [runOperation(db, withCandidates(request))];
    post({ kind: 'replies', replies, commits: 0, damaged: takeDamage() });
  }

  /** Adds the index's candidates to a list with a search text. */
  function withCandidates(request: OperationRequest): OperationRequest {
    if (request.op !== 'jobs.list') return request;
    // as: `Store.run` typed the arguments by the name of the operation.
    const args = request.args as Parameters<Operations['jobs.list']>[1];
    const { q } = args.query;
    return q === undefined ? request : { ...request, args: { ...args, among: candidates(q) } };
  }

  function candidates(text: string): readonly string[] | null {
    try {
      return index?.candidates(text) ?? null;
    } catch (error) {
      post({ kind: 'indexFailed', message: messageOf(error) });
      return null;
    }
  }

  port.on('message', (message: ToThread) => {
    switch (message.kind) {
      case 'run':
        for (const request of message.requests) answer(request);
        return;
      case 'changed':
        if (message.ids === null) index?.anyChanged();
        else index?.changed(message.ids);
        timer ??= setTimeout(updateIndex, 0);
        return;
      case 'close':
        if (timer !== null) clearTimeout(timer);
        index?.close();
        db.close();
        port.close();
    }
  });
  post({ kind: 'ready' });
  timer = setTimeout(updateIndex, 0);
}

if (parentPort !== null) {
  // as: store.ts passes the file's path.
  serve(parentPort, workerData as string);
}
