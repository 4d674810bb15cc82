/** The writer's thread. Requests that arrive during a commit form the next commit. */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { commitTogether } from './group-commit.ts';
import { openDatabase } from './open-database.ts';
import { storeError, takeDamage } from './sql.ts';
import type { FromThread, OperationRequest, ToThread } from './thread.ts';

/** Requests in one commit, at most: the first of them waits for the last. */
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

/** Takes the first message and those queued behind it, up to a full batch or `close`. */
function drain(port: MessagePort, first: ToThread): { requests: OperationRequest[]; closing: boolean } {
  const requests: OperationRequest[] = [];
  let message: ToThread | undefined = first;
  while (message?.kind === 'run') {
    requests.push(...message.requests);
    if (requests.length >= MAX_BATCH) return { requests, closing: false };
    // as: only store.ts writes to this port. The result is undefined when the queue is empty.
    message = receiveMessageOnPort(port)?.message as ToThread | undefined;
  }
  return { requests, closing: message !== undefined };
}

if (parentPort !== null) {
  // as: store.ts passes the file's path.
  serve(parentPort, workerData as string);
}
