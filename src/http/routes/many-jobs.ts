import { Type } from '#typebox';
import { JobFilter, ManyCancelled, ManyRetried } from '../../protocol/job.ts';
import { invalid } from '../../protocol/problem.ts';
import { RetryFrom } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers, LIMITS } from '../openapi.ts';
import { CancelBody, IdempotencyHeaders, idempotencyOf, NoQuery, Page } from '../parameters.ts';
import type { JobSelection, ManyJobs } from '../ports.ts';

const selection = {
  filter: JobFilter,
  all: Type.Optional(
    Type.Boolean({ default: false, description: 'must be true for a filter without a condition' }),
  ),
  cursor: Page.cursor,
};
const CancelMany = Type.Object(
  { ...selection, ...CancelBody.properties },
  { ...closed, examples: [{ filter: { tag: ['nightly'] } }] },
);
const RetryMany = Type.Object(
  { ...selection, from: Type.Optional(RetryFrom) },
  { ...closed, examples: [{ filter: { status: ['failed'], tag: ['nightly'] } }] },
);

const PAGES =
  'A call acts on at most 1,000 jobs, newest first; the same call with `nextCursor` as `cursor` goes on with older ones. Repeating a call does no harm.';

/** `POST /v1/jobs/cancel` and `POST /v1/jobs/retry`. */
export function manyJobRoutes(app: HttpApp, manyJobs: ManyJobs): void {
  app.post(
    '/v1/jobs/cancel',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'cancelJobs',
        summary: 'Cancel every job that a filter names',
        description: `Without \`status\`: those that have not ended. ${PAGES}`,
        querystring: NoQuery,
        body: CancelMany,
        response: {
          200: answer('What was done', { 'application/json': ManyCancelled }),
          ...errorAnswers('auth.unauthenticated'),
        },
      },
    },
    async (request) =>
      manyJobs.cancel(principalOf(request), selectionOf(request.body), request.body.force ?? false),
  );

  app.post(
    '/v1/jobs/retry',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'retryJobs',
        summary: 'Retry every job that a filter names',
        description: `Without \`status\`: the failed ones. The new jobs are a batch; each has \`retryOf\` and keeps its \`customId\`. A job that has a retry is left alone, and with \`from: "session"\` one that cannot go on in its session. ${PAGES}`,
        headers: IdempotencyHeaders,
        querystring: NoQuery,
        body: RetryMany,
        response: {
          200: answer('No job was to be retried', { 'application/json': ManyRetried }),
          202: answer('The batch of the new jobs, accepted', { 'application/json': ManyRetried }),
          ...errorAnswers('auth.unauthenticated', 'idempotency.key_reused', 'queue.full', ...LIMITS),
        },
      },
    },
    async (request, reply) => {
      const idempotency = idempotencyOf(request, request.body);
      const retried = await manyJobs.retry(
        principalOf(request),
        selectionOf(request.body),
        request.body.from ?? null,
        idempotency,
      );
      if (retried.batchId === null) return retried;
      return reply.code(202).header('location', `/v1/batches/${retried.batchId}`).send(retried);
    },
  );
}

/** @throws AppError request.invalid for a filter without a condition, unless all jobs are meant */
function selectionOf(body: {
  readonly filter: JobFilter;
  readonly all?: boolean;
  readonly cursor?: string;
}): JobSelection {
  const { filter, all = false, cursor = null } = body;
  const isEmpty = Object.values(filter).every((value) => Array.isArray(value) && value.length === 0);
  if (!isEmpty || all) return { filter, cursor };
  throw invalid([{ path: '/filter', message: 'has no condition; to mean every job, set all to true' }]);
}
