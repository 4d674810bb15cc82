import { Type } from 'typebox';
import { AppError } from '../../errors.ts';
import { Batch, BatchCreated, MAX_BATCH_PROMPTS } from '../../protocol/batch.ts';
import type { PromptRequest } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { answer, errorAnswers, shared } from '../answers.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { idempotencyOf } from '../idempotency.ts';
import { isUlid } from '../job-id.ts';
import type { Batches } from '../ports.ts';
import { promptRequestOf } from '../prompt-request.ts';
import { validatorCompiler } from '../validation.ts';

const NoQuery = Type.Object({}, closed);
const BatchParams = Type.Object({ id: Type.String({ description: 'ULID of a batch' }) });
const CancelBody = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'without the grace', default: false })) },
  closed,
);
const list = { minItems: 1, maxItems: MAX_BATCH_PROMPTS } as const;
const BatchRequest = Type.Object(
  { prompts: Type.Array(shared('PromptRequest'), list) },
  { ...closed, examples: [{ prompts: [{ prompt: 'Say hello' }, { prompt: 'Say goodbye' }] }] },
);
/** The same without what is in the list: each prompt is checked once, and by itself. */
const BatchOuter = Type.Object({ prompts: Type.Array(Type.Unknown(), list) }, closed);

/** A prompt of every option there is has some thirty values. */
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
          'Each prompt is a request of `POST /v1/jobs`; `items` says of each, in order, which job it became or why it did not. A prompt that is refused harms no other.',
        headers: Type.Object({
          'idempotency-key': Type.Optional(
            Type.String({ description: '1 to 255 visible characters, kept 24 h' }),
          ),
        }),
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
      // as: BatchOuter checked it, which says nothing of what is in the list
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
        summary: 'A batch: how many of its jobs stand how',
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
      preValidation: async (request: { body: unknown }) => {
        request.body ??= {};
      },
      schema: {
        tags: ['batches'],
        summary: 'Ask for the end of every job of a batch',
        params: BatchParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          200: answer('Every job had ended before', { 'application/json': Batch }),
          202: answer('Asked for; jobs that run may still end otherwise', { 'application/json': Batch }),
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

/** One prompt of the list, or what is wrong with it. */
function readPrompt(item: unknown): PromptRequest | AppError {
  try {
    return promptRequestOf('application/json', item, {});
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

function batchIdOf({ id }: { readonly id: string }): string {
  if (isUlid(id)) return id;
  throw new AppError('batch.not_found', 'there is no batch with this id');
}
