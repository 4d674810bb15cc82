import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Principal } from '../../auth/principal.ts';
import { AppError } from '../../errors.ts';
import type { Job } from '../../protocol/job.ts';
import { negotiate } from '../accept.ts';
import { answer, errorAnswers, shared } from '../answers.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { idempotencyOf } from '../idempotency.ts';
import { utf8Text } from '../plugins/body-parsing.ts';
import type { Created, Jobs } from '../ports.ts';
import { CreateQuery, promptRequestOf } from '../prompt-request.ts';
import { validatorCompiler } from '../validation.ts';
import { untilGone, waitMsOf } from '../wait-query.ts';

const PRODUCES = ['application/json', 'text/plain'];

const schema = {
  tags: ['jobs'],
  summary: 'Make a job of a prompt',
  description:
    'As JSON, or as text with the options in the query. `?wait` answers with the finished job (200, also a failed one: read `status`) if it ends in time, else 202. With `?wait` and `Accept: text/plain` the answer is the text of the outcome. A caller that leaves cancels nothing.',
  headers: Type.Object({
    'idempotency-key': Type.Optional(Type.String({ description: '1 to 255 visible characters, kept 24 h' })),
  }),
  querystring: CreateQuery,
  body: {
    content: {
      'application/json': { schema: shared('PromptRequest') },
      'text/plain': { schema: Type.String({ examples: ['Say hello'] }) },
    },
  },
  response: {
    200: answer('The finished job', { 'application/json': shared('Job'), 'text/plain': Type.String() }),
    202: answer('The job, accepted', { 'application/json': shared('Job') }),
    ...errorAnswers(
      'auth.unauthenticated',
      'auth.forbidden',
      'permission_mode.denied',
      'tools.denied',
      'session.not_found',
      'cwd.not_allowed',
      'provider.unknown',
      'provider.unsupported_option',
      'idempotency.key_reused',
      'queue.full',
      'request.not_acceptable',
      'request.too_large',
      'request.unsupported_media_type',
    ),
  },
};

/** The handler validates the body: as one whole with the query, when it is text. */
const allButTheBody: typeof validatorCompiler = (part) =>
  part.httpPart === 'body' ? (value: unknown) => ({ value }) : validatorCompiler(part);

/** `POST /v1/jobs`. */
export function createJobRoute(app: HttpApp, jobs: Jobs): void {
  app.register(async (scope: HttpApp) => {
    scope.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_: FastifyRequest, body: Buffer) =>
      utf8Text(body),
    );
    scope.post(
      '/v1/jobs',
      { schema, config: { produces: PRODUCES }, validatorCompiler: allButTheBody },
      async (request, reply) => {
        const principal = principalOf(request);
        const prompt = promptRequestOf(request.mediaType, request.body, request.query);
        const created = await jobs.create(principal, prompt, idempotencyOf(request, prompt));
        announce(reply, created);
        const waitMs = waitMsOf(request.query);
        if (waitMs === 0) return reply.code(202).send(created.job);
        const signal = untilGone(request, reply, scope.stopping);
        const job = await outcomeOf(jobs, principal, created.job, waitMs, signal);
        if (!job.finished) return reply.code(202).send(job);
        return negotiate(request.headers.accept, PRODUCES) === 'text/plain'
          ? sendText(reply, job)
          : reply.send(job);
      },
    );
  });
}

/** What an answer that made a job, or found it made, says in its headers. */
export function announce(reply: FastifyReply, { job, replayed }: Created): void {
  reply.header('location', job.links.self);
  if (replayed) reply.header('idempotent-replayed', 'true');
}

/** The job after the wait. It exists: when waiting fails, the answer is still that it was accepted. */
async function outcomeOf(
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

/** The outcome for a shell: its text, or what went wrong when there is none. */
function sendText(reply: FastifyReply, { id, status, outcome }: Job): FastifyReply {
  const error = outcome?.error ?? null;
  const text = outcome?.text || (error === null ? '' : `${error.code}: ${error.message}\n`);
  return reply
    .headers({ 'bullpen-job': id, 'bullpen-status': status })
    .type('text/plain; charset=utf-8')
    .send(text);
}
