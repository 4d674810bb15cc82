import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { peek } from '../../events/sent-events.ts';
import { BatchEvent, CURSOR } from '../../protocol/change.ts';
import { createChecker } from '../../protocol/checker.ts';
import { Batch, BatchCreated, BatchResult, MAX_BATCH_PROMPTS } from '../../protocol/job.ts';
import { invalid, problemsOf } from '../../protocol/problem.ts';
import { CustomId } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { NDJSON, SSE, sendEvents } from '../event-stream.ts';
import { exampleBatch, exampleBatchCreated, exampleBatchResult } from '../examples.ts';
import { negotiate } from '../headers.ts';
import { type HttpApp, principalOf, untilGone, whileAllowed } from '../http-app.ts';
import { answer, emptyAnswer, errorAnswers, LIMITS, pageOf, shared } from '../openapi.ts';
import {
  BatchParams,
  batchIdOf,
  CancelBody,
  DEFAULT_LIMIT,
  IdempotencyHeaders,
  idempotencyOf,
  NoQuery,
  optionalBody,
  Page,
} from '../parameters.ts';
import type { Batches, BatchFeed, BatchItem } from '../ports.ts';
import { promptRequestOf } from '../prompt-request.ts';
import { sendRate } from '../rate-limits.ts';
import { validatorCompiler } from '../validation.ts';
import { lastEventId } from './events.ts';

const list = { minItems: 1, maxItems: MAX_BATCH_PROMPTS } as const;
const BatchRequest = Type.Object(
  { prompts: Type.Array(shared('BatchPrompt'), list) },
  {
    ...closed,
    examples: [{ prompts: [{ customId: 'hi', prompt: 'Say hello' }, { prompt: 'Say goodbye' }] }],
  },
);
/** The body without the prompts, each of which is checked on its own. */
const BatchOuter = Type.Object({ prompts: Type.Array(Type.Unknown(), list) }, closed);

const batch = { 'application/json': Type.Unsafe<Batch>({ ...Batch, examples: [exampleBatch] }) };

/** A prompt with every option has some thirty values. */
const MAX_ITEMS = 50 * MAX_BATCH_PROMPTS;

const outerCompiler: typeof validatorCompiler = (part) =>
  validatorCompiler(part.httpPart === 'body' ? { ...part, schema: BatchOuter } : part);

export interface BatchRoutesOptions {
  readonly batches: Batches;
  readonly batchFeed: BatchFeed;
  readonly heartbeatMs: number;
  /** A reader was cut because it was too slow. */
  onCut(): void;
}

/** `/v1/batches`, and what one batch has come to. */
export function batchRoutes(
  app: HttpApp,
  { batches, batchFeed, heartbeatMs, onCut }: BatchRoutesOptions,
): void {
  app.post(
    '/v1/batches',
    {
      config: { maxJsonItems: MAX_ITEMS },
      validatorCompiler: outerCompiler,
      schema: {
        tags: ['batches'],
        operationId: 'createBatch',
        summary: 'Make jobs of many prompts',
        description:
          'Each prompt is a request of `POST /v1/jobs`; `items` has, in order, the job of each prompt or the reason why it was refused. A refused prompt does not affect the others.',
        headers: IdempotencyHeaders,
        querystring: NoQuery,
        body: BatchRequest,
        response: {
          202: answer('The batch, accepted', {
            'application/json': Type.Unsafe<BatchCreated>({
              ...BatchCreated,
              examples: [exampleBatchCreated],
            }),
          }),
          ...errorAnswers(
            'auth.unauthenticated',
            'idempotency.key_reused',
            'queue.full',
            ...LIMITS,
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
      const items = readItems(prompts);
      const { batch, replayed, rate } = await batches.create(principalOf(request), items, idempotency);
      sendRate(reply, rate);
      reply.header('location', batch.links.self);
      if (replayed) reply.header('idempotent-replayed', 'true');
      return reply.code(202).send(batch);
    },
  );

  app.get(
    '/v1/batches',
    {
      schema: {
        tags: ['batches'],
        operationId: 'listBatches',
        summary: 'Batches, newest first',
        querystring: Type.Object(Page, closed),
        response: {
          200: answer('A page of batches', pageOf(Batch, exampleBatch)),
          ...errorAnswers('auth.unauthenticated'),
        },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor = null } = request.query;
      return batches.list(principalOf(request), { limit, cursor });
    },
  );

  app.get(
    '/v1/batches/:id/results',
    {
      config: { produces: [NDJSON] },
      exposeHeadRoute: false,
      schema: {
        tags: ['batches'],
        operationId: 'getBatchResults',
        summary: 'What each prompt of a batch has come to',
        description:
          'One line of JSON for each prompt, in order. A job that has not ended has its status and no outcome yet.',
        params: BatchParams,
        querystring: NoQuery,
        response: {
          200: answer('A line for each prompt', {
            [NDJSON]: Type.Unsafe<BatchResult>({ ...BatchResult, examples: [exampleBatchResult] }),
          }),
          ...errorAnswers('auth.unauthenticated', 'batch.not_found', 'request.not_acceptable'),
        },
      },
    },
    async (request, reply) => {
      const all = await batches.results(principalOf(request), batchIdOf(request.params));
      const results = whileAllowed(request, app.stopping, all);
      const sent = (line: BatchResult) => ({ kind: 'result', id: line.index, data: line });
      return sendEvents(reply, results, { contentType: NDJSON, sent, heartbeatMs, onCut });
    },
  );

  app.get(
    '/v1/batches/:id/events',
    {
      config: { produces: [SSE, NDJSON] },
      exposeHeadRoute: false,
      schema: {
        tags: ['batches'],
        operationId: 'streamBatch',
        summary: 'The changes of the jobs of a batch and its counts, until it has ended',
        description:
          'First the counts as they are now, then each change of a job, at least once, with the counts after it. `id` is a cursor; `Last-Event-ID` (or `?after`) resumes after it, on any server of the same Redis. The stream ends after `batch.finished`; a reader that resumes there gets 204. 410 `events.expired`: changes after the cursor are lost; open the stream without one.',
        params: BatchParams,
        querystring: Type.Object(
          {
            after: Type.Optional(
              Type.String({ pattern: CURSOR.source, description: 'last `cursor` the reader has' }),
            ),
          },
          closed,
        ),
        headers: Type.Object({
          'last-event-id': Type.Optional(Type.String({ description: 'last `cursor` the reader has' })),
        }),
        response: {
          200: answer('Changes and counts', { [SSE]: BatchEvent, [NDJSON]: BatchEvent }),
          204: emptyAnswer('The batch has ended and the reader has everything'),
          ...errorAnswers(
            ...(['auth.unauthenticated', 'batch.not_found', 'events.expired'] as const),
            'request.not_acceptable',
          ),
        },
      },
    },
    async (request, reply) => {
      const after = lastEventId(request, CURSOR) ?? request.query.after ?? null;
      const signal = untilGone(request, reply, app.stopping);
      const id = batchIdOf(request.params);
      const events = await peek(batchFeed.read(principalOf(request), id, after, signal));
      if (events === null) return reply.code(204).send();
      const contentType = negotiate(request, [SSE, NDJSON]) ?? SSE;
      const sent = (event: BatchEvent) => ({ kind: event.kind, id: event.cursor, data: event });
      return sendEvents(reply, events, { contentType, sent, heartbeatMs, onCut });
    },
  );

  app.get(
    '/v1/batches/:id',
    {
      schema: {
        tags: ['batches'],
        operationId: 'getBatch',
        summary: 'A batch: its jobs by status, their cost and times',
        params: BatchParams,
        querystring: NoQuery,
        response: {
          200: answer('The batch', batch),
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
        operationId: 'cancelBatch',
        summary: 'Cancel every job of a batch',
        params: BatchParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          200: answer('Every job had ended before', batch),
          202: answer('Requested; running jobs may still end otherwise', batch),
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

const customIdSchema = createChecker(CustomId);

/**
 * The prompts of the list; one that is none has the error that refuses it.
 * @throws AppError request.invalid for a customId that two prompts have
 */
function readItems(prompts: readonly unknown[]): BatchItem[] {
  const firstOf = new Map<string, number>();
  return prompts.map((given, index) => {
    const item = readItem(given);
    if (item.customId === null) return item;
    const first = firstOf.get(item.customId);
    if (first !== undefined) {
      const message = `must be unique in the batch: prompt ${first} has it, too`;
      throw invalid([{ path: `/prompts/${index}/customId`, message }]);
    }
    firstOf.set(item.customId, index);
    return item;
  });
}

function readItem(given: unknown): BatchItem {
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given);
  const { customId, ...prompt }: { readonly customId?: unknown } = isObject ? given : {};
  const named = customIdSchema.check(customId) ? customId : null;
  try {
    if (customId !== undefined && named === null)
      throw invalid(problemsOf(customIdSchema.errors(customId), '/customId'));
    return { customId: named, prompt: promptRequestOf('application/json', isObject ? prompt : given, {}) };
  } catch (error) {
    if (error instanceof AppError) return { customId: named, prompt: error };
    throw error;
  }
}
