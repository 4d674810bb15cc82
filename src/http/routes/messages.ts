import type { FastifyReply } from 'fastify';
import { Type } from '#typebox';
import { checkPromptText } from '../../protocol/prompt.ts';
import { MessageRequest, Steered } from '../../protocol/session.ts';
import { exampleJob, exampleSteered } from '../examples.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers, shared } from '../openapi.ts';
import {
  IdempotencyHeaders,
  idempotencyOf,
  JobParams,
  jobIdOf,
  NoQuery,
  SessionParams,
  sessionIdOf,
} from '../parameters.ts';
import type { Sessions } from '../session-ports.ts';
import { createdHeaders, REFUSALS } from './jobs.ts';

const accepted = {
  'application/json': Type.Union([shared('Job'), Steered], { examples: [exampleJob, exampleSteered] }),
};

const DESCRIPTION =
  'With `next` and `interrupt` the answer is the job of its turn; `interrupt` stops the running turn first. With `steer` it goes into the running turn, at most once; when no turn runs, or its CLI refuses it, it becomes the next turn.';

/** `POST /v1/sessions/:id/messages` and `POST /v1/jobs/:id/messages`. */
export function messageRoutes(app: HttpApp, sessions: Sessions): void {
  app.post(
    '/v1/sessions/:id/messages',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'messageSession',
        summary: 'Send a message',
        description: DESCRIPTION,
        headers: IdempotencyHeaders,
        params: SessionParams,
        querystring: NoQuery,
        body: MessageRequest,
        response: {
          202: answer('The job of the next turn, or what became of the message', accepted),
          ...errorAnswers(...REFUSALS, 'session.closed', 'request.too_large'),
        },
      },
    },
    async (request, reply) => {
      checkPromptText(request.body);
      const id = sessionIdOf(request.params);
      const idempotency = idempotencyOf(request, request.body);
      return send(reply, await sessions.message(principalOf(request), id, request.body, idempotency));
    },
  );

  app.post(
    '/v1/jobs/:id/messages',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'messageJob',
        summary: 'Send a message to the session of a job that has not ended',
        description: DESCRIPTION,
        headers: IdempotencyHeaders,
        params: JobParams,
        querystring: NoQuery,
        body: MessageRequest,
        response: {
          202: answer('The job of the next turn, or what became of the message', accepted),
          ...errorAnswers(
            ...REFUSALS,
            ...(['session.closed', 'request.too_large', 'job.not_found', 'job.already_finished'] as const),
          ),
        },
      },
    },
    async (request, reply) => {
      checkPromptText(request.body);
      const id = jobIdOf(request.params);
      const idempotency = idempotencyOf(request, request.body);
      return send(reply, await sessions.messageJob(principalOf(request), id, request.body, idempotency));
    },
  );
}

function send(reply: FastifyReply, result: Awaited<ReturnType<Sessions['message']>>): FastifyReply {
  if ('steered' in result) return reply.code(202).send(result.steered);
  return createdHeaders(reply, result.created).code(202).send(result.created.job);
}
