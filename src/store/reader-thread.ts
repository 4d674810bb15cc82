/** Entry of the reader's thread: lists, searches and reports, on a connection that only reads, and the search index. */
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import { takeDamage } from './damaged-rows.ts';
import { runOperation } from './group-commit.ts';
import { addPromptSearch } from './prompt-search.ts';
import { openSearchIndex, type SearchIndex } from './search-index.ts';
import { storeError } from './sqlite-error.ts';
import type { FromThread, OperationRequest, ToThread } from './thread-messages.ts';

const SEARCH_FILE = 'search.db';
const BUSY_TIMEOUT_MS = 5_000;
/** After a failure, a full disk most often. */
const TRY_AGAIN_MS = 10_000;

function serve(port: MessagePort, file: string): void {
  const post = (message: FromThread): void => port.postMessage(message);
  let db: DatabaseSync;
  try {
    db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    db.exec('PRAGMA cache_size = -16384');
    addPromptSearch(db);
  } catch (error) {
    post({ kind: 'refused', error: storeError(error) });
    port.close();
    return;
  }
  let index: SearchIndex | null = null;
  let timer: NodeJS.Timeout | null = null;

  /** Works on the index in small steps at half pace: reads come in between. */
  function work(): void {
    const startedAt = performance.now();
    timer = null;
    try {
      index ??= openSearchIndex(join(dirname(file), SEARCH_FILE), db);
      if (index.step()) timer = setTimeout(work, performance.now() - startedAt);
    } catch (error) {
      post({ kind: 'trouble', message: messageOf(error) });
      timer = setTimeout(work, TRY_AGAIN_MS);
    }
  }

  function answer(request: OperationRequest): void {
    const { op, args } = request;
    // as: `Store.run` typed the arguments by the name of the operation.
    const query = op === 'jobs.list' ? (args as { query: { q: string | null } }).query : null;
    const narrowed =
      query === null || query.q === null
        ? request
        : { ...request, args: { ...(args as object), among: candidates(query.q) } };
    const replies = [runOperation(db, narrowed)];
    post({ kind: 'replies', replies, commits: 0, damaged: takeDamage() });
  }

  function candidates(text: string): readonly string[] | null {
    try {
      return index?.candidates(text) ?? null;
    } catch (error) {
      post({ kind: 'trouble', message: messageOf(error) });
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
        timer ??= setTimeout(work, 0);
        return;
      case 'close':
        if (timer !== null) clearTimeout(timer);
        index?.close();
        db.close();
        port.close();
    }
  });
  post({ kind: 'ready' });
  timer = setTimeout(work, 0);
}

if (parentPort !== null) {
  // as: store.ts starts this thread with the file's path.
  serve(parentPort, workerData as string);
}
