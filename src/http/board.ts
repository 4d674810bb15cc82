import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BullMQAdapter as QueueAdapter } from '@bull-board/api/bullMQAdapter';
import type { Job as Delivery, Queue } from 'bullmq';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import { ADMIN_PRINCIPAL } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { StoredEvent } from '../protocol/event.ts';
import type { Job } from '../protocol/job.ts';
import type { EventHub, Jobs } from './ports.ts';

/** Of a prompt: enough to know it again. */
const PREVIEW_CHARS = 100;
const MAX_MESSAGE_CHARS = 300;
/** Jobs on one page. */
const MAX_JOBS = 100;
const ANSWER_WITHIN_MS = 2_000;
const LOG_WITHIN_MS = 1_000;
const POLL_EVERY_MS = 5_000;
const RETRY_AFTER_SECONDS = 2;

/** Removes the page's link to a font of a third party: the page makes requests to this server only. */
const PAGE_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";
const FOREIGN_LINKS = /^.*<link [^>]*href="https?:.*$\n?/gm;

/** What the board shows, and where it learns what the jobs are: BullMQ knows only their ids. */
export interface BoardSources {
  readonly queues: readonly Queue[];
  readonly jobs: Pick<Jobs, 'get'>;
  readonly events: Pick<EventHub, 'read'>;
}

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
  { queues, jobs, events }: BoardSources,
  basePath: string,
  logger: FastifyBaseLogger,
): Promise<Board> {
  const [{ createBullBoard }, { BullMQAdapter }, { FastifyAdapter }] = await Promise.all([
    import('@bull-board/api'),
    import('@bull-board/api/bullMQAdapter'),
    import('@bull-board/fastify'),
  ]);
  /** Deliveries, told as the jobs they are for. */
  class PromptAdapter extends BullMQAdapter {
    override async getJob(id: string) {
      const delivery = await super.getJob(id);
      return delivery && told(delivery);
    }
    override async getJobs(...[statuses, start = 0, end = MAX_JOBS]: Parameters<QueueAdapter['getJobs']>) {
      const deliveries = await super.getJobs(statuses, start, Math.min(end, start + MAX_JOBS - 1));
      return Promise.all(deliveries.map(told));
    }
    override async getJobLogs(id: string) {
      // What is there by now; a job that is there has events.
      for await (const batch of events.read(id, 0, AbortSignal.timeout(LOG_WITHIN_MS)))
        return batch.flatMap(logLine);
      return [];
    }
  }
  const told = async (delivery: Delivery): Promise<Delivery> => {
    // One that was deleted, or cannot be read, must not hide the others.
    const job = await jobs.get(ADMIN_PRINCIPAL, delivery.id ?? '').catch(() => null);
    return Object.assign(delivery, shownOf(job));
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

/** The fields of a delivery, as the board shows them, from the job it is for; null: the job is gone. */
export function shownOf(job: Job | null) {
  // How often it was delivered, and the fault of an earlier delivery, say nothing about the job.
  const none = { attemptsStarted: 0, stalledCounter: 0, stacktrace: [], opts: {}, failedReason: '' };
  if (job === null) return { ...none, name: 'a job that is gone', data: {}, progress: 0, returnvalue: null };
  const { outcome } = job;
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
    attemptsMade: job.attempts,
    priority: job.priority,
    ...(job.startedAt === null ? {} : { processedOn: Date.parse(job.startedAt) }),
    ...(job.finishedAt === null ? {} : { finishedOn: Date.parse(job.finishedAt) }),
  };
}

/** Only what there is. */
const set = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

/** An event as a line of the job's log: what was done, without the texts. */
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
    case 'retry':
      return line(cut(event.reason, MAX_MESSAGE_CHARS));
    case 'warning':
      return line(`${event.code}: ${cut(event.message, MAX_MESSAGE_CHARS)}`);
    default:
      return [];
  }
}

const cut = (text: string, chars: number): string =>
  text.length > chars ? `${text.slice(0, chars - 1).toWellFormed()}…` : text;
