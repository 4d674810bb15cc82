import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BullMQAdapter as QueueAdapter } from '@bull-board/api/bullMQAdapter';
import type { Job as Delivery, Queue } from 'bullmq';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import { ADMIN_PRINCIPAL } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import type { StoredEvent } from '../../protocol/event.ts';
import type { Job } from '../../protocol/job.ts';
import type { Redactor } from '../../redactor.ts';
import { type HttpApp, takeOver } from '../http-app.ts';
import type { EventHub, Jobs } from '../ports.ts';

const BOARD_PATH = '/admin/queues';
/** Length of the prompt in a job's name. */
const PREVIEW_CHARS = 100;
const MAX_MESSAGE_CHARS = 300;
/** Most jobs on one page. */
const MAX_JOBS = 100;
const ANSWER_WITHIN_MS = 2_000;
const LOG_WITHIN_MS = 1_000;
const POLL_EVERY_MS = 5_000;
const RETRY_AFTER_SECONDS = 2;

/** Bull Board writes styles into its page, and needs its `<base>`. */
const PAGE_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";
/** The page's link to a font of a third party, removed so that it asks this server only. */
const FOREIGN_LINKS = /^.*<link [^>]*href="https?:.*$\n?/gm;

/** The queues of the board, and the services that know their jobs: BullMQ knows only the ids. */
export interface BoardSources {
  readonly queues: readonly Queue[];
  readonly jobs: Pick<Jobs, 'get'>;
  readonly events: Pick<EventHub, 'read'>;
  readonly redactor: Redactor;
}

/**
 * `/admin/queues`: a read-only Bull Board for admins. The first request builds it, so an unused
 * board costs neither time nor memory. The two routes cover all its paths, so all need a login.
 */
export function boardRoutes(app: HttpApp, sources: BoardSources): void {
  let board: Promise<Board> | null = null;
  const open = (): Promise<Board> => {
    board ??= createBoard(sources, BOARD_PATH, app.log).catch((error: unknown) => {
      board = null;
      throw error;
    });
    return board;
  };

  for (const url of [BOARD_PATH, `${BOARD_PATH}/*`]) {
    app.all(
      url,
      { config: { page: true, produces: ['*'] }, schema: { hide: true } },
      async (request, reply) => {
        if (request.method !== 'GET' && request.method !== 'HEAD') {
          reply.header('allow', 'GET, HEAD');
          throw new AppError('request.method_not_allowed', 'the board is read-only');
        }
        const { show } = await open();
        show(request.raw, takeOver(reply));
      },
    );
  }
  app.addHook('onClose', async () => (await board)?.close());
}

/** Bull Board without authentication. */
interface Board {
  /** Answers a request for a path of the board. */
  show(request: IncomingMessage, response: ServerResponse): void;
  /** Does not close the queues. */
  close(): Promise<void>;
}

/**
 * Builds Bull Board in a Fastify of its own that does not listen: routes cannot be added to the
 * running server, and its error handler must stay separate from the board's. Loads the modules of
 * the board.
 */
async function createBoard(
  { queues, jobs, events, redactor }: BoardSources,
  basePath: string,
  logger: FastifyBaseLogger,
): Promise<Board> {
  const [{ createBullBoard }, { BullMQAdapter }, { FastifyAdapter }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/fastify'),
  ]);
  /** Shows each BullMQ job as the job that it delivers. */
  class PromptAdapter extends BullMQAdapter {
    override async getJob(id: string) {
      const delivery = await super.getJob(id);
      return delivery && withJob(delivery);
    }
    override async getJobs(...[statuses, start = 0, end = MAX_JOBS]: Parameters<QueueAdapter['getJobs']>) {
      const deliveries = await super.getJobs(statuses, start, Math.min(end, start + MAX_JOBS - 1));
      return Promise.all(deliveries.map(withJob));
    }
    override async getJobLogs(id: string) {
      // The first batch has the stored events; every stored job has some.
      for await (const batch of events.read(id, 0, AbortSignal.timeout(LOG_WITHIN_MS)))
        return batch.flatMap(logLine);
      return [];
    }
  }
  const withJob = async (delivery: Delivery): Promise<Delivery> => {
    // A job that was deleted or cannot be read must not hide the others.
    const job = await jobs.get(ADMIN_PRINCIPAL, delivery.id ?? '').catch(() => null);
    // A prompt and tags are stored as they were sent, but an admin is not their owner.
    return Object.assign(delivery, shownOf(redactor.value(job)));
  };
  const serverAdapter = new FastifyAdapter();
  serverAdapter.setBasePath(basePath);
  createBullBoard({
    queues: queues.map((queue) => new PromptAdapter(queue, { readOnlyMode: true })),
    serverAdapter,
    options: {
      uiConfig: { boardTitle: 'Bullpen', pollingInterval: { forceInterval: POLL_EVERY_MS / 1000 } },
    },
  });
  serverAdapter.setErrorHandler((error: Error & { readonly statusCode?: number }) => ({
    // as: the board sends any status
    status: (error instanceof AppError ? error.status : (error.statusCode ?? 500)) as 500,
    body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message: error.message },
  }));
  const app = Fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    handlerTimeout: ANSWER_WITHIN_MS,
    exposeHeadRoutes: true,
  });
  app.addHook('onSend', async (_request, reply, payload) => {
    if (reply.statusCode === 503) reply.header('retry-after', RETRY_AFTER_SECONDS);
    const isPage = String(reply.getHeader('content-type')).startsWith('text/html');
    if (!isPage || typeof payload !== 'string') return payload;
    reply.header('content-security-policy', PAGE_POLICY);
    return payload.replaceAll(FOREIGN_LINKS, '');
  });
  await app.register(serverAdapter.registerPlugin(), { prefix: basePath });
  await app.ready();
  return { show: (request, response) => app.routing(request, response), close: () => app.close() };
}

/** The job's fields as the board shows them; null: the job was deleted. */
export function shownOf(job: Job | null) {
  // The number of deliveries and the error of one are not facts about the job.
  const none = { attemptsStarted: 0, stalledCounter: 0, stacktrace: [], failedReason: '' };
  if (job === null) {
    const gone = { name: 'a job that is gone', data: {}, progress: 0, returnvalue: null };
    return { ...none, ...gone, opts: {} };
  }
  const { outcome } = job;
  const timestamp = Date.parse(job.createdAt);
  // BullMQ's own delay says only when it looks at the job again: for many in 2038.
  const delay = job.scheduledFor === null ? 0 : Math.max(0, Date.parse(job.scheduledFor) - timestamp);
  const error = outcome?.error ?? null;
  return {
    ...none,
    name: `${job.provider} · ${cut(job.prompt.replaceAll(/\s+/g, ' ').trim(), PREVIEW_CHARS)}`,
    data: set({
      provider: job.provider,
      model: outcome?.model ?? job.model,
      permissionMode: job.permissionMode,
      tags: job.tags.length === 0 ? null : job.tags,
      batch: job.batchId,
      job: job.links.self,
    }),
    progress: set({
      status: job.status,
      waitReason: job.waitReason,
      scheduledFor: job.scheduledFor,
      attempts: job.attempts,
      startedAt: job.startedAt,
      finishedAt: job.finishedAt,
    }),
    returnvalue:
      outcome &&
      set({
        status: outcome.status,
        turns: outcome.turns,
        durationMs: outcome.durationMs,
        costUsd: outcome.usage?.costUsd ?? null,
      }),
    failedReason: error === null ? '' : cut(`${error.code}: ${error.message}`, MAX_MESSAGE_CHARS),
    timestamp,
    delay,
    opts: { delay },
    attemptsMade: job.attempts,
    priority: job.priority,
    ...(job.startedAt === null ? {} : { processedOn: Date.parse(job.startedAt) }),
    ...(job.finishedAt === null ? {} : { finishedOn: Date.parse(job.finishedAt) }),
  };
}

/** The fields that are not null. */
const set = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/** An event as a line of the job's log, without texts of the conversation. */
function logLine(event: StoredEvent): string[] {
  const line = (what: string): string[] => [`${event.at} ${event.kind}${what === '' ? '' : ` ${what}`}`];
  switch (event.kind) {
    case 'job.queued':
    case 'job.finished':
      return line('');
    case 'job.scheduled':
      return line(`${event.waitReason} until ${event.scheduledFor}`);
    case 'job.running':
      return line(`attempt ${event.attempt}`);
    case 'execution.started':
      return line(`${event.provider} ${event.version ?? ''}`.trim());
    case 'execution.finished':
      return line(event.outcome.error?.code ?? event.outcome.status);
    case 'tool.started':
      return line(event.name);
    case 'tool.ended':
      return line(`${event.name ?? ''}${event.isError ? ' failed' : ''}`.trim());
    case 'api_retry':
      return line(cut(event.reason, MAX_MESSAGE_CHARS));
    case 'warning':
      return line(`${event.code}: ${cut(event.message, MAX_MESSAGE_CHARS)}`);
    default:
      return [];
  }
}

const cut = (text: string, chars: number): string =>
  text.length > chars ? `${text.slice(0, chars - 1).toWellFormed()}…` : text;
