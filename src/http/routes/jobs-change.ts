import { Type } from 'typebox';
import { PromptOverrides } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { answer, emptyAnswer, errorAnswers, shared } from '../answers.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { idempotencyOf } from '../idempotency.ts';
import { JobParams, jobIdOf } from '../job-id.ts';
import type { Jobs } from '../ports.ts';
import { checkPromptText } from '../prompt-request.ts';
import { announce } from './jobs-create.ts';

const CancelBody = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'without the grace', default: false })) },
  closed,
);
const NoQuery = Type.Object({}, closed);
const job = { 'application/json': shared('Job') };

/** `POST /v1/jobs/:id/cancel`, `POST /v1/jobs/:id/retry` and `DELETE /v1/jobs/:id`. */
export function changeJobRoutes(app: HttpApp, jobs: Jobs): void {
  /** These bodies hold only options, so none is an empty one. */
  const optionalBody = async (request: { body: unknown }) => {
    request.body ??= {};
  };

  app.post(
    '/v1/jobs/:id/cancel',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['jobs'],
        summary: 'Ask for the end of a job',
        params: JobParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          200: answer('It had been cancelled before', job),
          202: answer('Asked for; it may still end otherwise', job),
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
        summary: 'Make a new job of a finished one',
        description: 'The body may change any field of the first request.',
        headers: Type.Object({ 'idempotency-key': Type.Optional(Type.String()) }),
        params: JobParams,
        querystring: NoQuery,
        body: PromptOverrides,
        response: {
          202: answer('The new job, with `retryOf`', job),
          ...errorAnswers(
            'auth.unauthenticated',
            'job.not_found',
            'job.not_finished',
            'idempotency.key_reused',
          ),
        },
      },
    },
    async (request, reply) => {
      const id = jobIdOf(request.params);
      const overrides = request.body;
      checkPromptText(overrides);
      const idempotency = idempotencyOf(request, overrides);
      const created = await jobs.retry(principalOf(request), id, overrides, idempotency);
      announce(reply, created);
      return reply.code(202).send(created.job);
    },
  );

  app.delete(
    '/v1/jobs/:id',
    {
      schema: {
        tags: ['jobs'],
        summary: 'Forget a finished job and all it left',
        params: JobParams,
        querystring: NoQuery,
        response: {
          204: emptyAnswer('It is gone'),
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
