import { Type } from 'typebox';
import { AppError } from '../../errors.ts';
import { Batch, BatchCreated, MAX_BATCH_PROMPTS } from '../../protocol/job.ts';
import type { PromptRequest } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers, shared } from '../openapi.ts';
import {
  BatchParams,
  batchIdOf,
  CancelBody,
  IdempotencyHeaders,
  idempotencyOf,
  NoQuery,
  optionalBody,
} from '../parameters.ts';
import type { Batches } from '../ports.ts';
import { promptRequestOf } from '../prompt-request.ts';
import { validatorCompiler } from '../validation.ts';

const list = { minItems: 1, maxItems: MAX_BATCH_PROMPTS } as const;
const BatchRequest = Type.Object(
  { prompts: Type.Array(shared('PromptRequest'), list) },
  { ...closed, examples: [{ prompts: [{ prompt: 'Say hello' }, { prompt: 'Say goodbye' }] }] },
);
/** The body without the prompts, each of which is checked on its own. */
const BatchOuter = Type.Object({ prompts: Type.Array(Type.Unknown(), list) }, closed);

/** A prompt with every option has some thirty values. */
const MAX_ITEMS = 50 * MAX_BATCH_PROMPTS;

const outerCompiler: typeof validatorCompiler = (part) =>
  validatorCompiler(part.httpPart === 'body' ? { ...part, schema: BatchOuter } : part);

/** `POST /v1/batches`, `GET /v1/batches/:id` and `POST /v1/batches/:id/cancel`. */
export function batchRoutes(app: HttpApp, batches: Batches): void {
  app.post(
    '/v1/batches',
    {
      config: { maxJsonItems: MAX_ITEMS },
      validatorCompiler: outerCompiler,
      schema: {
        tags: ['batches'],
        summary: 'Make jobs of many prompts',
        description:
          'Each prompt is a request of `POST /v1/jobs`; `items` has, in order, the job of each prompt or the reason why it was refused. A refused prompt does not affect the others.',
        headers: IdempotencyHeaders,
        querystring: NoQuery,
        body: BatchRequest,
        response: {
          202: answer('The batch, accepted', { 'application/json': BatchCreated }),
          ...errorAnswers(
            'auth.unauthenticated',
            'idempotency.key_reused',
            'queue.full',
            'request.too_large',
            'request.unsupported_media_type',
          ),
        },
      },
    },
    async (request, reply) => {
      // as: BatchOuter has checked the list, but not the prompts in it
      const { prompts } = request.body as { readonly prompts: readonly unknown[] };
      const idempotency = idempotencyOf(request, prompts);
      const { batch, replayed } = await batches.create(
        principalOf(request),
        prompts.map(readPrompt),
        idempotency,
      );
      reply.header('location', batch.links.self);
      if (replayed) reply.header('idempotent-replayed', 'true');
      return reply.code(202).send(batch);
    },
  );

  app.get(
    '/v1/batches/:id',
    {
      schema: {
        tags: ['batches'],
        summary: 'A batch: job counts by status',
        params: BatchParams,
        querystring: NoQuery,
        response: {
          200: answer('The batch', { 'application/json': Batch }),
          ...errorAnswers('auth.unauthenticated', 'batch.not_found'),
        },
      },
    },
    async (request) => batches.get(principalOf(request), batchIdOf(request.params)),
  );

  app.post(
    '/v1/batches/:id/cancel',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['batches'],
        summary: 'Cancel every job of a batch',
        params: BatchParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          200: answer('Every job had ended before', { 'application/json': Batch }),
          202: answer('Requested; running jobs may still end otherwise', { 'application/json': Batch }),
          ...errorAnswers('auth.unauthenticated', 'batch.not_found'),
        },
      },
    },
    async (request, reply) => {
      const id = batchIdOf(request.params);
      const cancelled = await batches.cancel(principalOf(request), id, request.body.force ?? false);
      return reply.code(cancelled.alreadyOver ? 200 : 202).send(cancelled.batch);
    },
  );
}

/** A prompt of the list, or the error that refuses it. */
function readPrompt(item: unknown): PromptRequest | AppError {
  try {
    return promptRequestOf('application/json', item, {});
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}
