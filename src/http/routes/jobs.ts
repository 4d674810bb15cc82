import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from '#typebox';
import type { Principal } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import { type Job, JobFilter, JobPatch } from '../../protocol/job.ts';
import { checkPromptText, RetryRequest } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { utf8Text } from '../body.ts';
import { exampleJob, exampleListItem } from '../examples.ts';
import { negotiate } from '../headers.ts';
import { type HttpApp, principalOf, untilGone } from '../http-app.ts';
import { answer, emptyAnswer, errorAnswers, LIMITS, pageOf, shared } from '../openapi.ts';
import {
  CancelBody,
  DEFAULT_LIMIT,
  IdempotencyHeaders,
  idempotencyOf,
  JobParams,
  jobIdOf,
  NoQuery,
  optionalBody,
  Page,
  Wait,
  waitMsOf,
} from '../parameters.ts';
import type { Created, Jobs } from '../ports.ts';
import { CreateQuery, promptRequestOf } from '../prompt-request.ts';
import { sendRate } from '../rate-limits.ts';
import { validatorCompiler } from '../validation.ts';

const PRODUCES = ['application/json', 'text/plain'];
const job = { 'application/json': shared('Job') };

/** Why a request makes no job. */
export const REFUSALS = [
  ...(['auth.unauthenticated', 'permission_mode.denied', 'tools.denied'] as const),
  ...(['session.not_found', 'session.wrong_kind', 'cwd.not_allowed', 'provider.unknown'] as const),
  ...(['provider.unsupported_option', 'executor.unsupported'] as const),
  ...(['idempotency.key_reused', 'queue.full'] as const),
  ...LIMITS,
] as const;

const ListQuery = Type.Object(
  {
    ...JobFilter.properties,
    ...Page,
  },
  closed,
);

/** `POST /v1/jobs`, `GET /v1/jobs`, and `/v1/jobs/:id`: read, change, delete, cancel, retry. */
export function jobRoutes(app: HttpApp, jobs: Jobs): void {
  addCreate(app, jobs);

  app.get(
    '/v1/jobs',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'listJobs',
        summary: 'Jobs, newest first',
        querystring: ListQuery,
        response: {
          200: answer('A page of jobs', pageOf(shared('JobListItem'), exampleListItem)),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor = null, ...filter } = request.query;
      return jobs.list(principalOf(request), { ...filter, limit, cursor });
    },
  );

  app.get(
    '/v1/jobs/:id',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'getJob',
        summary: 'A job',
        description: '`?wait` answers when the job is finished, or after that many seconds with its state.',
        params: JobParams,
        querystring: Type.Object({ wait: Wait }, closed),
        response: {
          200: answer('The job', job),
          ...errorAnswers('auth.unauthenticated', 'job.not_found', 'request.not_acceptable'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const id = jobIdOf(request.params);
      const waitMs = waitMsOf(request.query);
      if (waitMs === 0) return jobs.get(principal, id);
      return jobs.wait(principal, id, waitMs, untilGone(request, reply, app.stopping));
    },
  );

  app.post(
    '/v1/jobs/:id/cancel',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['jobs'],
        operationId: 'cancelJob',
        summary: 'Cancel a job',
        params: JobParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          200: answer('It had been cancelled before', job),
          202: answer('Requested; the job may still end otherwise', job),
          ...errorAnswers('auth.unauthenticated', 'job.not_found', 'job.already_finished'),
        },
      },
    },
    async (request, reply) => {
      const id = jobIdOf(request.params);
      const cancelled = await jobs.cancel(principalOf(request), id, request.body.force ?? false);
      return reply.code(cancelled.alreadyCancelled ? 200 : 202).send(cancelled.job);
    },
  );

  app.post(
    '/v1/jobs/:id/retry',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['jobs'],
        operationId: 'retryJob',
        summary: 'Make a new job of a finished one',
        description: 'The body may change any field of the first request.',
        headers: IdempotencyHeaders,
        params: JobParams,
        querystring: NoQuery,
        body: RetryRequest,
        response: {
          202: answer('The new job, with `retryOf`', job),
          ...errorAnswers(...REFUSALS, 'job.not_found', 'job.not_finished'),
        },
      },
    },
    async (request, reply) => {
      const id = jobIdOf(request.params);
      const overrides = request.body;
      checkPromptText(overrides);
      const idempotency = idempotencyOf(request, overrides);
      const created = await jobs.retry(principalOf(request), id, overrides, idempotency);
      return createdHeaders(reply, created).code(202).send(created.job);
    },
  );

  app.patch(
    '/v1/jobs/:id',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'changeJob',
        summary: 'Change the tags, the metadata or the archived mark of a job',
        description: 'At any time, also after its end. A value replaces the whole old value.',
        params: JobParams,
        querystring: NoQuery,
        body: JobPatch,
        response: {
          200: answer('The job', job),
          ...errorAnswers(
            ...(['auth.unauthenticated', 'job.not_found', 'job.already_finished'] as const),
            'job.already_started',
          ),
        },
      },
    },
    async (request) => jobs.change(principalOf(request), jobIdOf(request.params), request.body),
  );

  app.delete(
    '/v1/jobs/:id',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'deleteJob',
        summary: 'Delete a finished job with its events and outcome',
        params: JobParams,
        querystring: NoQuery,
        response: {
          204: emptyAnswer('It is deleted'),
          ...errorAnswers('auth.unauthenticated', 'job.not_found', 'job.not_finished'),
        },
      },
    },
    async (request, reply) => {
      await jobs.delete(principalOf(request), jobIdOf(request.params));
      return reply.code(204).send();
    },
  );
}

const createSchema = {
  tags: ['jobs'],
  operationId: 'createJob',
  summary: 'Make a job of a prompt',
  description:
    'As JSON, or as text with the options in the query. With `?wait` the answer is the finished job (200, including a failed one: read `status`) if it ends in time, else 202. With `?wait` and `Accept: text/plain` it is the text of the outcome. A caller that leaves cancels nothing.',
  headers: IdempotencyHeaders,
  querystring: CreateQuery,
  body: {
    content: {
      'application/json': { schema: shared('PromptRequest') },
      'text/plain': { schema: Type.String({ examples: ['Say hello'] }) },
    },
  },
  response: {
    200: answer('The finished job', {
      ...job,
      'text/plain': Type.String({ examples: [exampleJob.outcome?.text] }),
    }),
    202: answer('The job, accepted', job),
    ...errorAnswers(
      ...REFUSALS,
      'request.not_acceptable',
      'request.too_large',
      'request.unsupported_media_type',
    ),
  },
};

/** Leaves the body to the handler, which validates a text body together with the query. */
const allButTheBody: typeof validatorCompiler = (part) =>
  part.httpPart === 'body' ? (value: unknown) => ({ value }) : validatorCompiler(part);

function addCreate(app: HttpApp, jobs: Jobs): void {
  app.register(async (scope: HttpApp) => {
    scope.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) =>
      utf8Text(body),
    );
    scope.post(
      '/v1/jobs',
      { schema: createSchema, config: { produces: PRODUCES }, validatorCompiler: allButTheBody },
      async (request, reply) => {
        const principal = principalOf(request);
        const prompt = promptRequestOf(request.mediaType, request.body, request.query);
        const created = await jobs.create(principal, prompt, idempotencyOf(request, prompt));
        createdHeaders(reply, created);
        const waitMs = waitMsOf(request.query);
        if (waitMs === 0) return reply.code(202).send(created.job);
        const signal = untilGone(request, reply, scope.stopping);
        const latest = await afterWait(jobs, principal, created.job, waitMs, signal);
        if (!latest.finished) return reply.code(202).send(latest);
        return negotiate(request, PRODUCES) === 'text/plain' ? sendText(reply, latest) : reply.send(latest);
      },
    );
  });
}

/** The headers of an answer with a new job. */
export function createdHeaders(reply: FastifyReply, { job, replayed, rate }: Created): FastifyReply {
  reply.header('location', job.links.self);
  sendRate(reply, rate);
  return replayed ? reply.header('idempotent-replayed', 'true') : reply;
}

/** The job after the wait. If the wait fails, the job as it was created: it has been accepted. */
async function afterWait(
  jobs: Jobs,
  principal: Principal,
  job: Job,
  waitMs: number,
  signal: AbortSignal,
): Promise<Job> {
  try {
    return await jobs.wait(principal, job.id, waitMs, signal);
  } catch (error) {
    if (error instanceof AppError && error.retryable) return job;
    throw error;
  }
}

/** Sends the text of the outcome, or its error if there is no text. */
function sendText(reply: FastifyReply, { id, status, outcome }: Job): FastifyReply {
  const error = outcome?.error ?? null;
  const text = outcome?.text || (error === null ? '' : `${error.code}: ${error.message}\n`);
  return reply
    .headers({ 'bullpen-job': id, 'bullpen-status': status })
    .type('text/plain; charset=utf-8')
    .send(text);
}
