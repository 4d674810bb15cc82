import type { FastifyRequest } from 'fastify';
import { type Static, Type } from '#typebox';
import { mayUse } from '../../auth/principal.ts';
import { type StreamTickets, TICKET_LIFETIME_MS } from '../../auth/signed-values.ts';
import { AppError } from '../../errors.ts';
import { type EventFilter, peek, sentJobEvent, sentSessionEvent } from '../../events/sent-events.ts';
import { Change, CURSOR } from '../../protocol/change.ts';
import type { SessionStoredEvent, StoredEvent } from '../../protocol/event.ts';
import { JobStatus, jobLinks } from '../../protocol/job.ts';
import { invalid } from '../../protocol/problem.ts';
import { closed } from '../../protocol/schema.ts';
import { EVENT_KINDS, NDJSON, SESSION_EVENT_KINDS, SSE, sendEvents } from '../event-stream.ts';
import { JOB_ID, SESSION_ID } from '../examples.ts';
import { negotiate } from '../headers.ts';
import { type HttpApp, principalOf, untilGone } from '../http-app.ts';
import { answer, emptyAnswer, errorAnswers } from '../openapi.ts';
import { JobParams, jobIdOf, NoQuery, SessionParams, sessionIdOf } from '../parameters.ts';
import type { ChangeFeed, EventHub, Jobs } from '../ports.ts';
import type { SessionFeed, Sessions } from '../session-ports.ts';

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

const EVENT_EXAMPLE = JSON.stringify({
  ...{ jobId: JOB_ID, executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', attempt: 1, seq: 7 },
  ...{ at: '2026-11-21T12:00:01.300Z', kind: 'text.delta', text: 'Hello' },
});
const SSE_EXAMPLE = `event: text.delta\nid: 7\ndata: ${EVENT_EXAMPLE}\n\n`;

const eventsSchema = {
  tags: ['events'],
  operationId: 'streamJob',
  summary: 'The events of a job: those so far, then new ones as they come',
  description:
    '`id` is the `seq` of an event; `Last-Event-ID` (or `?after`) resumes after it without a gap or a duplicate. The stream ends after `job.finished`. A reader that has all events of a finished job gets 204.',
  params: JobParams,
  querystring: EventsQuery,
  headers: Type.Object({
    'last-event-id': Type.Optional(Type.String({ description: 'last `seq` the reader has' })),
  }),
  response: {
    200: answer('Events', {
      [SSE]: Type.String({ examples: [SSE_EXAMPLE] }),
      [NDJSON]: Type.String({ examples: [EVENT_EXAMPLE] }),
    }),
    204: emptyAnswer('The job is finished and the reader has everything'),
    ...errorAnswers('auth.unauthenticated', 'job.not_found', 'request.not_acceptable'),
  },
};

const SESSION_EVENT_EXAMPLE = JSON.stringify({
  ...{ seq: 12, sessionId: SESSION_ID, at: '2026-11-21T12:00:02.200Z' },
  ...{ kind: 'session.status', status: 'ready', reason: null },
});

const sessionEventsSchema = {
  tags: ['events'],
  operationId: 'streamSession',
  summary: 'The events of a session: its changes, and the events of its jobs',
  description:
    'Those so far, then new ones as they come. `id` is the `seq` of an event in the session; `Last-Event-ID` (or `?after`) resumes after it without a gap or a duplicate. `jobSeq` is the `seq` of the same event in its job. Without either, a terminal begins with its screen (`terminal.screen`); so it does when events after the `seq` are no longer kept. The stream does not end by itself.',
  params: SessionParams,
  querystring: Type.Object(
    {
      ...EventsQuery.properties,
      kinds: Type.Optional(
        Type.Array(Type.Enum([...SESSION_EVENT_KINDS]), {
          description: 'only these; `session.status` and `job.finished` always',
        }),
      ),
    },
    closed,
  ),
  headers: eventsSchema.headers,
  response: {
    200: answer('Events', {
      [SSE]: Type.String({
        examples: [`event: session.status\nid: 12\ndata: ${SESSION_EVENT_EXAMPLE}\n\n`],
      }),
      [NDJSON]: Type.String({ examples: [SESSION_EVENT_EXAMPLE] }),
    }),
    ...errorAnswers('auth.unauthenticated', 'session.not_found', 'request.not_acceptable'),
  },
};

const Ticket = Type.Object(
  {
    ticket: Type.String(),
    expiresAt: Type.String(),
    url: Type.String({ description: 'the events of the job or the session, with the ticket' }),
  },
  {
    examples: [
      {
        ...{ ticket: 'eyJqb2Jz…', expiresAt: '2026-11-21T12:01:00.000Z' },
        url: `${jobLinks(JOB_ID).events}?ticket=eyJqb2Jz…`,
      },
    ],
  },
);

const ChangesQuery = Type.Object(
  {
    after: Type.Optional(
      Type.String({
        pattern: CURSOR.source,
        description:
          'last `cursor` the reader has; `0`: from the first change that is kept. Default: from now on',
      }),
    ),
    status: Type.Optional(Type.Array(JobStatus, { description: 'only changes to any of these' })),
    batch: Type.Optional(Type.String({ description: 'only jobs of this batch' })),
  },
  closed,
);

const changesSchema = {
  operationId: 'streamChanges',
  tags: ['events'],
  summary: 'The changes of all jobs that the caller may see, as they come',
  description:
    'Every change of a job, in order and at least once, with the state that the job had then. The first event is `cursor`: it says where the reader begins. `id` is the `cursor` of an event; `Last-Event-ID` (or `?after`) resumes after it, on any server of the same Redis. 410 `events.expired`: changes after the cursor are lost; open the stream without a cursor, then list the jobs. The stream does not end by itself.',
  querystring: ChangesQuery,
  headers: Type.Object({
    'last-event-id': Type.Optional(Type.String({ description: 'last `cursor` the reader has' })),
  }),
  response: {
    200: answer('Changes: the data of each server-sent event, or one a line', {
      [SSE]: Change,
      [NDJSON]: Change,
    }),
    ...errorAnswers('auth.unauthenticated', 'events.expired', 'request.not_acceptable'),
  },
};

export interface EventRoutesOptions {
  readonly jobs: Jobs;
  readonly events: EventHub;
  readonly sessions: Pick<Sessions, 'get'>;
  readonly sessionFeed: SessionFeed;
  readonly changes: ChangeFeed;
  readonly tickets: StreamTickets;
  readonly heartbeatMs: number;
  /** A reader was cut because it was too slow. */
  onCut(): void;
}

/**
 * `GET /v1/events`; `GET /v1/jobs/:id/events`, `GET /v1/sessions/:id/events`, and
 * `POST /v1/stream-tokens` for browsers that read the latter two.
 */
export function eventRoutes(
  app: HttpApp,
  { jobs, events, sessions, sessionFeed, changes, tickets, heartbeatMs, onCut }: EventRoutesOptions,
): void {
  app.get(
    '/v1/events',
    { schema: changesSchema, config: { produces: [SSE, NDJSON] }, exposeHeadRoute: false },
    async (request, reply) => {
      const { status = [], batch = null } = request.query;
      const given = lastEventId(request, CURSOR) ?? request.query.after ?? null;
      const signal = untilGone(request, reply, app.stopping);
      const live = changes.read(principalOf(request), { after: given, status, batch }, signal);
      const batches = await peek(live); // an expired cursor is an answer, not a broken stream
      if (batches === null) throw new AppError('server.stopping', 'the server is stopping');
      const contentType = negotiate(request, [SSE, NDJSON]) ?? SSE;
      const sent = (change: Change) => ({ kind: change.kind, id: change.cursor, data: change });
      return sendEvents(reply, batches, { contentType, sent, heartbeatMs, onCut });
    },
  );

  app.get(
    '/v1/jobs/:id/events',
    {
      schema: eventsSchema,
      config: { ticket: 'job', produces: [SSE, NDJSON] },
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const after = resumePoint(request, request.query) ?? 0;
      const job = await jobs.get(principalOf(request), jobIdOf(request.params));
      const live = events.read(job.id, after, untilGone(request, reply, app.stopping));
      const batches = job.finished ? await peek(live) : live;
      if (batches === null) return reply.code(204).send();
      const contentType = negotiate(request, [SSE, NDJSON]) ?? SSE;
      const filter = filterOf(request.query);
      const sent = (event: StoredEvent) => sentJobEvent(event, filter);
      return sendEvents(reply, batches, { contentType, sent, heartbeatMs, onCut });
    },
  );

  app.get(
    '/v1/sessions/:id/events',
    {
      schema: sessionEventsSchema,
      config: { ticket: 'session', produces: [SSE, NDJSON] },
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const after = resumePoint(request, request.query);
      const { id } = await sessions.get(principalOf(request), sessionIdOf(request.params));
      const batches = sessionFeed.read(id, after, untilGone(request, reply, app.stopping));
      const contentType = negotiate(request, [SSE, NDJSON]) ?? SSE;
      const filter = filterOf(request.query);
      const sent = (event: SessionStoredEvent) => sentSessionEvent(event, filter);
      return sendEvents(reply, batches, { contentType, sent, heartbeatMs, onCut });
    },
  );

  app.post(
    '/v1/stream-tokens',
    {
      schema: {
        tags: ['events'],
        operationId: 'createStreamToken',
        summary: 'A ticket to the events of one job or session, for a browser',
        description: `Valid for ${TICKET_LIFETIME_MS / 1000} s, including reconnects in that time. A ticket to a job needs the scope jobs:read, one to a session sessions:read.`,
        querystring: NoQuery,
        body: Type.Object(
          {
            jobId: Type.Optional(Type.String({ description: 'ULID of a job' })),
            sessionId: Type.Optional(Type.String({ description: 'ULID of a session; not with jobId' })),
          },
          { ...closed, examples: [{ jobId: JOB_ID }, { sessionId: SESSION_ID }] },
        ),
        response: {
          201: answer('The ticket', { 'application/json': Ticket }),
          ...errorAnswers('auth.unauthenticated', 'job.not_found', 'session.not_found'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { jobId, sessionId } = request.body;
      if (jobId === undefined && sessionId === undefined)
        throw invalid([{ path: '/jobId', message: 'is required, or sessionId' }]);
      if (jobId !== undefined && sessionId !== undefined)
        throw invalid([{ path: '/sessionId', message: 'must not be given together with jobId' }]);
      const scope = sessionId === undefined ? 'jobs:read' : 'sessions:read';
      if (!mayUse(principal, scope))
        throw new AppError('auth.forbidden', `this needs a token with the scope ${scope}`);
      const { id, links } =
        sessionId === undefined
          ? await jobs.get(principal, jobIdOf({ id: jobId ?? '' }))
          : await sessions.get(principal, sessionIdOf({ id: sessionId }));
      const noun = sessionId === undefined ? 'job' : 'session';
      const { ticket, expiresAt } = tickets.issue({ noun, id, principal });
      const url = `${links.events}?ticket=${encodeURIComponent(ticket)}`;
      return reply.code(201).send({ ticket, expiresAt, url });
    },
  );
}

/** The last seq the reader has; null: it has none. */
function resumePoint(
  request: FastifyRequest,
  query: Pick<Static<typeof EventsQuery>, 'after'>,
): number | null {
  const last = lastEventId(request, /^\d{1,15}$/);
  return last === null ? (query.after ?? null) : Number(last);
}

/** The header, which wins over `?after`: a browser that reconnects repeats an old query. */
export function lastEventId(request: FastifyRequest, pattern: RegExp): string | null {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return null;
  if (typeof header === 'string' && pattern.test(header)) return header;
  throw invalid([{ path: '/headers/last-event-id', message: 'must be the id of an event' }]);
}

const filterOf = (query: { readonly kinds?: readonly string[]; readonly raw?: boolean }): EventFilter => ({
  kinds: query.kinds === undefined ? null : new Set(query.kinds),
  raw: query.raw ?? false,
});
