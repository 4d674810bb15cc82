import { type Static, Type } from 'typebox';
import type { JobQuery } from '../../protocol/job.ts';
import { JOB_STATUSES } from '../../protocol/job.ts';
import { closed, nullable } from '../../protocol/schema.ts';
import { answer, errorAnswers, shared } from '../answers.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { JobParams, jobIdOf } from '../job-id.ts';
import type { Jobs } from '../ports.ts';
import { untilGone, Wait, waitMsOf } from '../wait-query.ts';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;
const MAX_VALUES = 20;

const several = <T extends Parameters<typeof Type.Array>[0]>(item: T, description: string) =>
  Type.Optional(Type.Array(item, { maxItems: MAX_VALUES, description }));
const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));

const ListQuery = Type.Object(
  {
    status: several(Type.Enum(JOB_STATUSES), 'in one of these states'),
    provider: several(Type.String({ maxLength: 64 }), 'of one of these providers'),
    tag: several(Type.String({ minLength: 1, maxLength: 64 }), 'with every one of these tags'),
    batch: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'made in this batch' })),
    createdAfter: time('RFC 3339'),
    createdBefore: time('RFC 3339'),
    q: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'text in the prompt' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: DEFAULT_LIMIT })),
    cursor: Type.Optional(
      Type.String({ minLength: 1, maxLength: 512, description: '`nextCursor` of the page before' }),
    ),
  },
  closed,
);

/** `GET /v1/jobs/:id` and `GET /v1/jobs`. */
export function readJobRoutes(app: HttpApp, jobs: Jobs): void {
  app.get(
    '/v1/jobs/:id',
    {
      schema: {
        tags: ['jobs'],
        summary: 'A job',
        description:
          '`?wait` answers when the job is finished, or after that many seconds with how it stands.',
        params: JobParams,
        querystring: Type.Object({ wait: Wait }, closed),
        response: {
          200: answer('The job', { 'application/json': shared('Job') }),
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

  app.get(
    '/v1/jobs',
    {
      schema: {
        tags: ['jobs'],
        summary: 'Jobs, newest first',
        querystring: ListQuery,
        response: {
          200: answer('A page of jobs', {
            'application/json': Type.Object({
              data: Type.Array(shared('JobListItem')),
              nextCursor: nullable(Type.String()),
            }),
          }),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async (request) => jobs.list(principalOf(request), jobQueryOf(request.query)),
  );
}

const jobQueryOf = (query: Static<typeof ListQuery>): JobQuery => ({
  status: query.status ?? [],
  provider: query.provider ?? [],
  tag: query.tag ?? [],
  batch: query.batch ?? null,
  createdAfter: query.createdAfter ?? null,
  createdBefore: query.createdBefore ?? null,
  q: query.q ?? null,
  limit: query.limit ?? DEFAULT_LIMIT,
  cursor: query.cursor ?? null,
});
