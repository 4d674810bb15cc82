import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Queue } from 'bullmq';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import { AppError } from '../errors.ts';

const MAX_TEXT = 200;
const MAX_ITEMS = 50;
const MAX_DEPTH = 6;
const ANSWER_WITHIN_MS = 2_000;
const POLL_EVERY_MS = 5_000;
const RETRY_AFTER_SECONDS = 2;

/** Bull Board, without any auth of its own. */
export interface Board {
  /** Answers a request whose path is under the board's. */
  show(request: IncomingMessage, response: ServerResponse): void;
  /** Leaves the queues open. */
  close(): Promise<void>;
}

/**
 * Bull Board in a Fastify of its own that listens nowhere: the server's routes cannot be added to once it
 * runs, and the board's error handler and view engine stay away from ours. Loads the modules when called.
 */
export async function createBoard(
  queues: readonly Queue[],
  basePath: string,
  logger: FastifyBaseLogger,
): Promise<Board> {
  const [{ createBullBoard }, { BullMQAdapter }, { FastifyAdapter }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/fastify'),
  ]);
  const serverAdapter = new FastifyAdapter();
  serverAdapter.setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => {
      const adapter = new BullMQAdapter(queue, { readOnlyMode: true });
      adapter.setFormatter('data', (value) => shorten(value));
      adapter.setFormatter('returnValue', (value) => shorten(value));
      adapter.setFormatter('progress', (value) => shorten(value));
      return adapter;
    }),
    serverAdapter,
    options: {
      uiConfig: { boardTitle: 'Bullpen', pollingInterval: { forceInterval: POLL_EVERY_MS / 1000 } },
    },
  });
  serverAdapter.setErrorHandler((error: Error & { readonly statusCode?: number }) => ({
    // as: the board answers with whatever it is given
    status: (error instanceof AppError ? error.status : (error.statusCode ?? 500)) as 500,
    body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: error.message },
  }));
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    handlerTimeout: ANSWER_WITHIN_MS,
    exposeHeadRoutes: true,
  });
  app.addHook('onSend', async (_request, reply) => {
    if (reply.statusCode === 503) reply.header('retry-after', RETRY_AFTER_SECONDS);
  });
  await app.register(serverAdapter.registerPlugin(), { prefix: basePath });
  await app.ready();
  return { show: (request, response) => app.routing(request, response), close: () => app.close() };
}

/** A job's data as the board may show it: large values freeze its page. */
export function shorten(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') {
    return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (depth === MAX_DEPTH) return '…';
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => shorten(item, depth + 1));
  const fields = Object.entries(value).slice(0, MAX_ITEMS);
  return Object.fromEntries(fields.map(([name, field]) => [name, shorten(field, depth + 1)]));
}
