import type { FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { closed } from '../../protocol/schema.ts';
import { negotiate } from '../accept.ts';
import { answer, emptyAnswer, errorAnswers } from '../answers.ts';
import { EVENT_KINDS, type EventFilter, NDJSON, peek, SSE, sendEvents } from '../event-stream.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { JobParams, jobIdOf } from '../job-id.ts';
import type { EventHub, Jobs } from '../ports.ts';
import { invalid } from '../validation.ts';
import { untilGone } from '../wait-query.ts';

const EventsQuery = Type.Object(
  {
    after: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'last `seq` the reader has',
      }),
    ),
    kinds: Type.Optional(
      Type.Array(Type.Enum([...EVENT_KINDS]), { description: 'only these; `job.finished` always' }),
    ),
    raw: Type.Optional(Type.Boolean({ description: 'with the lines of the CLI itself', default: false })),
    ticket: Type.Optional(Type.String({ description: 'from POST /v1/stream-tokens' })),
  },
  closed,
);

const schema = {
  tags: ['events'],
  summary: 'The events of a job, from the first on and as they come',
  description:
    '`id` is the `seq` of an event; `Last-Event-ID` (or `?after`) resumes after it without a gap or a duplicate. The stream ends after `job.finished`; asking for what comes after that is 204.',
  params: JobParams,
  querystring: EventsQuery,
  headers: Type.Object({
    'last-event-id': Type.Optional(Type.String({ description: 'last `seq` the reader has' })),
  }),
  response: {
    200: answer('Events', { [SSE]: Type.String(), [NDJSON]: Type.String() }),
    204: emptyAnswer('The job is finished and the reader has everything'),
    ...errorAnswers('auth.unauthenticated', 'job.not_found', 'request.not_acceptable'),
  },
};

/** `GET /v1/jobs/:id/events`. */
export function jobEventsRoute(app: HttpApp, jobs: Jobs, events: EventHub, heartbeatMs: number): void {
  app.get(
    '/v1/jobs/:id/events',
    { schema, config: { access: 'ticket', produces: [SSE, NDJSON] }, exposeHeadRoute: false },
    async (request, reply) => {
      const after = resumePoint(request, request.query);
      const job = await jobs.get(principalOf(request), jobIdOf(request.params));
      const signal = untilGone(request, reply, app.stopping);
      const live = events.read(job.id, after, signal);
      const batches = job.finished ? await peek(live) : live;
      if (batches === null) return reply.code(204).send();
      const contentType = negotiate(request.headers.accept, [SSE, NDJSON]) ?? SSE;
      return sendEvents(reply, batches, { contentType, filter: filterOf(request.query), heartbeatMs });
    },
  );
}

/** A browser that reconnects repeats the old `?after` and says the newer place in Last-Event-ID. */
function resumePoint(request: FastifyRequest, query: Static<typeof EventsQuery>): number {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return query.after ?? 0;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header);
  throw invalid([{ path: '/headers/last-event-id', message: 'must be the id of an event' }]);
}

const filterOf = (query: Static<typeof EventsQuery>): EventFilter => ({
  kinds: query.kinds === undefined ? null : new Set(query.kinds),
  raw: query.raw ?? false,
});
