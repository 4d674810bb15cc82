/** Entry of the store's thread: whatever has queued up while the last commit ran is the next commit. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { takeDamage } from './damaged-rows.ts';
import { commitTogether } from './group-commit.ts';
import { openDatabase } from './open-database.ts';
import { storeError } from './sqlite-error.ts';
import type { FromThread, OperationRequest, ToThread } from './thread-messages.ts';

/** Bounds how long the first of many waits for the last. */
const MAX_BATCH = 1024;

function serve(port: MessagePort, file: string): void {
  const post = (message: FromThread): void => port.postMessage(message);
  let db: ReturnType<typeof openDatabase>;
  try {
    db = openDatabase(file);
  } catch (error) {
    post({ kind: 'refused', error: storeError(error) });
    port.close();
    return;
  }
  port.on('message', (first: ToThread) => {
    const { requests, closing } = drain(port, first);
    if (requests.length > 0)
      post({ kind: 'replies', ...commitTogether(db, requests), damaged: takeDamage() });
    if (!closing) return;
    db.close();
    port.close();
  });
  post({ kind: 'ready' });
}

/** The message that woke us and everything behind it, up to a batch or to `close`. */
function drain(port: MessagePort, first: ToThread): { requests: OperationRequest[]; closing: boolean } {
  const requests: OperationRequest[] = [];
  let message: ToThread | undefined = first;
  while (message?.kind === 'run') {
    requests.push(...message.requests);
    if (requests.length >= MAX_BATCH) return { requests, closing: false };
    // as: only store.ts writes to this port. The wrapper is undefined when nothing waits.
    message = receiveMessageOnPort(port)?.message as ToThread | undefined;
  }
  return { requests, closing: message !== undefined };
}

if (parentPort !== null) {
  // as: store.ts starts this thread with the file's path.
  serve(parentPort, workerData as string);
}
