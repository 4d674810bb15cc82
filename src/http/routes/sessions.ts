import { Type } from '#typebox';
import { invalid } from '../../protocol/problem.ts';
import { checkPromptText } from '../../protocol/prompt.ts';
import { closed, searchText } from '../../protocol/schema.ts';
import { SESSION_STATUSES, Session, SessionRequest, Turn } from '../../protocol/session.ts';
import { exampleSession, exampleTurn } from '../examples.ts';
import { type HttpApp, principalOf, untilGone } from '../http-app.ts';
import { answer, emptyAnswer, errorAnswers, pageOf } from '../openapi.ts';
import {
  DEFAULT_LIMIT,
  EmptyBody,
  IdempotencyHeaders,
  idempotencyOf,
  NoQuery,
  optionalBody,
  Page,
  SessionParams,
  sessionIdOf,
  waitMsOf,
} from '../parameters.ts';
import type { Sessions } from '../session-ports.ts';
import { REFUSALS } from './jobs.ts';

const session = {
  'application/json': Type.Unsafe<Session>({ ...Session, examples: [exampleSession] }),
};
const Status = Type.Enum(SESSION_STATUSES);
/** Of a terminal on another server. */
const NODE_AWAY = 'execution.node_unavailable';

const ListQuery = Type.Object(
  {
    status: Type.Optional(Type.Array(Status, { maxItems: 8, description: 'in one of these states' })),
    kind: Type.Optional(Type.Enum(['chat', 'terminal'])),
    provider: Type.Optional(Type.String({ maxLength: 64, description: 'of this provider' })),
    tag: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
        maxItems: 20,
        description: 'with every one of these tags',
      }),
    ),
    q: Type.Optional(searchText('text in the name or a prompt, in any case')),
    all: Type.Optional(Type.Boolean({ description: 'with those of single jobs', default: false })),
    ...Page,
  },
  closed,
);

const GetQuery = Type.Object(
  {
    wait: Type.Optional(
      Type.Number({ minimum: 0, maximum: 300, description: 'seconds to wait for the status `until`' }),
    ),
    until: Type.Optional({ ...Status, default: 'ready' }),
  },
  closed,
);

const ONLY_TERMINALS = ['command', 'cols', 'rows'] as const;
const ONLY_CHATS = ['prompt', 'allowedTools', 'disallowedTools', 'onPermissionDenied'] as const;
const ONLY_CLIS = ['provider', 'model', 'effort', 'permissionMode', 'appendSystemPrompt'] as const;

/** Checks that the fields fit the kind. @throws AppError request.invalid */
function checkKind(request: SessionRequest): void {
  const wrong = (fields: readonly (keyof SessionRequest)[], message: string) =>
    fields.flatMap((field) => (request[field] === undefined ? [] : [{ path: `/${field}`, message }]));
  const problems =
    request.kind === 'terminal'
      ? [
          ...wrong(ONLY_CHATS, 'is not for terminals'),
          ...(request.command === undefined ? [] : wrong(ONLY_CLIS, 'is not for commands')),
        ]
      : wrong(ONLY_TERMINALS, 'is only for terminals');
  if (problems.length > 0) throw invalid(problems);
}

/** `/v1/sessions` and what is done to one; messages have routes of their own. */
export function sessionRoutes(app: HttpApp, sessions: Sessions): void {
  app.post(
    '/v1/sessions',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['sessions'],
        operationId: 'createSession',
        summary: 'Begin a conversation, or open a terminal',
        description:
          'The options of a chat hold for every turn. With a `prompt` its first turn begins at once; without one it starts no process. A terminal starts its program at once. It needs the scope `terminals`, too, and has no `prompt` and no tools.',
        headers: IdempotencyHeaders,
        querystring: NoQuery,
        body: SessionRequest,
        response: {
          201: answer('The session', session),
          ...errorAnswers(
            ...REFUSALS,
            ...(['limit.sessions', 'request.too_large', 'provider.denied', 'terminal.disabled'] as const),
            ...(['terminal.command_unknown', 'execution.cli_missing'] as const),
          ),
        },
      },
    },
    async (request, reply) => {
      checkPromptText(request.body);
      checkKind(request.body);
      const idempotency = idempotencyOf(request, request.body);
      const made = await sessions.create(principalOf(request), request.body, idempotency);
      reply.header('location', made.session.links.self);
      if (made.replayed) reply.header('idempotent-replayed', 'true');
      return reply.code(201).send(made.session);
    },
  );

  app.get(
    '/v1/sessions',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'listSessions',
        summary: 'Sessions, the one with the latest activity first',
        description:
          'Those made by `POST /v1/sessions`, with two turns or more, or with a live process; `?all=true`: also those of single jobs.',
        querystring: ListQuery,
        response: {
          200: answer('A page of sessions', pageOf(Session, exampleSession)),
          ...errorAnswers('auth.unauthenticated'),
        },
      },
    },
    async (request) => {
      const { status = [], kind = null, provider = null, tag = [], q = null, all = false } = request.query;
      const { limit = DEFAULT_LIMIT, cursor = null } = request.query;
      const query = { status, kind, provider, tag, q, all, limit, cursor };
      return sessions.list(principalOf(request), query);
    },
  );

  app.get(
    '/v1/sessions/:id',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'getSession',
        summary: 'A session',
        description:
          '`?wait` answers when the session has the status `until`, or after that many seconds as it is.',
        params: SessionParams,
        querystring: GetQuery,
        response: {
          200: answer('The session', session),
          ...errorAnswers('auth.unauthenticated', 'session.not_found'),
        },
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const id = sessionIdOf(request.params);
      const waitMs = waitMsOf(request.query);
      if (waitMs === 0) return sessions.get(principal, id);
      const { until = 'ready' } = request.query;
      return sessions.wait(principal, id, { until, waitMs }, untilGone(request, reply, app.stopping));
    },
  );

  app.get(
    '/v1/sessions/:id/turns',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'listTurns',
        summary: 'The prompts of a session and their answers, in order',
        params: SessionParams,
        querystring: Type.Object(Page, closed),
        response: {
          200: answer('A page of turns', pageOf(Turn, exampleTurn)),
          ...errorAnswers('auth.unauthenticated', 'session.not_found'),
        },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor = null } = request.query;
      return sessions.turns(principalOf(request), sessionIdOf(request.params), { limit, cursor });
    },
  );

  app.post(
    '/v1/sessions/:id/interrupt',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['sessions'],
        operationId: 'interruptSession',
        summary: 'Stop the running turn, or what runs in the foreground of a terminal',
        description:
          'The turn ends as `cancelled` with `execution.interrupted` and keeps its text. The process goes on where the CLI can. Without a running turn nothing happens. A terminal gets the signal INT, which needs the scope `terminals`.',
        params: SessionParams,
        querystring: NoQuery,
        body: EmptyBody,
        response: {
          202: answer('Requested; the turn may still end otherwise', session),
          ...errorAnswers('auth.unauthenticated', 'session.not_found', 'terminal.over', NODE_AWAY),
        },
      },
    },
    async (request, reply) => {
      const id = sessionIdOf(request.params);
      await sessions.interrupt(principalOf(request), id, null);
      return reply.code(202).send(await sessions.get(principalOf(request), id));
    },
  );

  app.post(
    '/v1/sessions/:id/fork',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['sessions'],
        operationId: 'forkSession',
        summary: 'Make a new session that goes on from here',
        description: 'The first turn of the new session begins with the history that this one has then.',
        headers: IdempotencyHeaders,
        params: SessionParams,
        querystring: NoQuery,
        body: EmptyBody,
        response: {
          201: answer('The new session, with `forkedFrom`', session),
          ...errorAnswers(
            ...(['auth.unauthenticated', 'session.not_found', 'provider.unsupported_option'] as const),
            ...(['limit.sessions', 'idempotency.key_reused', 'session.wrong_kind'] as const),
          ),
        },
      },
    },
    async (request, reply) => {
      const id = sessionIdOf(request.params);
      const idempotency = idempotencyOf(request, {});
      const made = await sessions.fork(principalOf(request), id, idempotency);
      reply.header('location', made.session.links.self);
      if (made.replayed) reply.header('idempotent-replayed', 'true');
      return reply.code(201).send(made.session);
    },
  );

  app.post(
    '/v1/sessions/:id/close',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['sessions'],
        operationId: 'closeSession',
        summary: 'End a session and its process',
        description:
          'Its turns that have not ended are cancelled. It takes no further message. A closed session stays closed. The answer for a terminal comes when its processes are gone.',
        params: SessionParams,
        querystring: NoQuery,
        body: EmptyBody,
        response: {
          200: answer('The session', session),
          ...errorAnswers('auth.unauthenticated', 'session.not_found', NODE_AWAY),
        },
      },
    },
    async (request) => sessions.close(principalOf(request), sessionIdOf(request.params)),
  );

  app.delete(
    '/v1/sessions/:id',
    {
      schema: {
        tags: ['sessions'],
        operationId: 'deleteSession',
        summary: 'Delete a session with its jobs, their events and outcomes',
        description:
          'Every turn must have ended, and the program of a terminal. Its recording is deleted, too. Its usage stays in `GET /v1/usage`.',
        params: SessionParams,
        querystring: NoQuery,
        response: {
          204: emptyAnswer('It is deleted'),
          ...errorAnswers('auth.unauthenticated', 'session.not_found', 'session.not_finished'),
        },
      },
    },
    async (request, reply) => {
      await sessions.delete(principalOf(request), sessionIdOf(request.params));
      return reply.code(204).send();
    },
  );
}
