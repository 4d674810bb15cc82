/**
 * What the server and an executor on another host say to each other over HTTP. Every request is
 * signed; src/auth/request-signature.ts has the rule, docs/executor.md the routes.
 */
import { type Static, Type } from '#typebox';
import { ExecutionEvent } from './event.ts';
import { grantFields } from './grant.ts';
import { Outcome, TokenCounts, Usage } from './outcome.ts';
import { ResolvedPrompt } from './prompt.ts';
import { closed, nullable } from './schema.ts';
import { CliReport } from './server-info.ts';

/** Milliseconds. The executor ends an execution that no server has followed for this long. */
export const RENEW_WITHIN_MS = 120_000;
/** The longest answer of a stream. The server asks again, and so renews the execution. */
export const STREAM_MS = 30_000;
/** A stream without a line for this long is broken: the executor sends `alive` more often. */
export const SILENT_STREAM_MS = 15_000;
/** Executions that may wait for a slot of the executor. */
export const MAX_WAITING = 1000;

/**
 * The fence: the executor starts at most one process for each id. It is the id of the server's
 * execution; its fallback provider has `-fallback` behind it.
 */
export const RemoteId = Type.String({ pattern: '^[0-9A-HJKMNP-TV-Z]{26}(-fallback)?$' });

const Text = Type.String();

/** What the server's records know of a session and of the earlier executions of the job. */
export const RemoteBackground = Type.Object(
  {
    session: nullable(Type.Object({ nativeSessionId: Text, tokens: nullable(TokenCounts) })),
    fork: Type.Boolean(),
    earlier: Type.Object({
      nativeSessionId: nullable(Text),
      asked: Type.Boolean(),
      since: nullable(Type.Number(), { description: 'milliseconds since the epoch; null: none started' }),
      usage: nullable(Usage),
      ranMs: Type.Number(),
      turns: Type.Integer(),
    }),
  },
  closed,
);
export type RemoteBackground = Static<typeof RemoteBackground>;

/** `POST /v1/executions` */
export const Submission = Type.Object(
  {
    id: RemoteId,
    jobId: Text,
    attempt: Type.Integer({ minimum: 1 }),
    kind: Type.Enum(['api', 'raw']),
    /** Bullpen's id of the session that it begins or continues. */
    sessionId: Text,
    principal: Text,
    /** What it may do; all of them hold, and the settings of the executor. */
    grants: Type.Array(
      Type.Object({ ...grantFields, depth: Type.Integer({ minimum: 0 }) }, { additionalProperties: true }),
    ),
    request: ResolvedPrompt,
    background: RemoteBackground,
  },
  closed,
);
export type Submission = Static<typeof Submission>;

/** What the executor knows of an execution. */
export const KnownExecution = Type.Object({
  id: RemoteId,
  jobId: Text,
  state: Type.Enum(['waiting', 'running', 'ended']),
  events: Type.Integer({ minimum: 0, description: 'how many it has; the number of the last one' }),
});
export type KnownExecution = Static<typeof KnownExecution>;

/** Header of every answer of the routes below `/v1`, errors included: the node, as below. */
export const NODE_HEADER = 'x-bullpen-node';
/** Content type of the events of an execution: only an executor answers with it. */
export const EVENTS_TYPE = 'application/x-ndjson';

/** Header of every request of a server: its version. Another one may not understand all of it. */
export const VERSION_HEADER = 'x-bullpen-version';

/** Part of the answer of each route below `/v1`. */
export const ExecutorIdentity = Type.Object({
  node: Type.String({ description: 'id of its ledger; an executor with another one knows nothing' }),
});

/** Answer of `POST /v1/executions` and of `POST /v1/executions/:id/cancel`. */
export const ExecutionAnswer = Type.Object({
  ...ExecutorIdentity.properties,
  execution: KnownExecution,
});
export type ExecutionAnswer = Static<typeof ExecutionAnswer>;

/** Answer of `GET /v1/executions`. */
export const ExecutionsAnswer = Type.Object({
  ...ExecutorIdentity.properties,
  executions: Type.Array(KnownExecution),
});
export type ExecutionsAnswer = Static<typeof ExecutionsAnswer>;

/** Why the server ends an execution. An interrupted one has the outcome `execution.interrupted`. */
export const CancelRequest = Type.Object(
  {
    reason: Type.Enum(['cancelled', 'interrupted']),
    force: Type.Boolean({ description: 'skips the grace' }),
  },
  closed,
);
export type CancelRequest = Static<typeof CancelRequest>;

/** What an execution reported beside its outcome. */
export const Reported = Type.Object({
  sessionTokens: nullable(TokenCounts),
  limitedModel: nullable(Text),
  account: nullable(Text),
  finalLine: nullable(Text, { description: 'of a raw job; null: of another one' }),
});
export type Reported = Static<typeof Reported>;

/** A line of `GET /v1/executions/:id/events?after=N`. The last one is `ended`. */
export const ExecutionLine = Type.Union([
  Type.Object({
    type: Type.Literal('event'),
    n: Type.Integer({ minimum: 1, description: 'without a gap' }),
    event: ExecutionEvent,
    raw: nullable(Text),
  }),
  Type.Object({ type: Type.Literal('alive') }),
  /** After the last event. A refused execution has none. */
  Type.Object({ type: Type.Literal('ended'), outcome: Outcome, reported: Reported }),
]);
export type ExecutionLine = Static<typeof ExecutionLine>;

/** `GET /v1/providers`: the CLIs of the executor's host. */
export const ClisAnswer = Type.Object({ node: Text, providers: Type.Array(CliReport) });
export type ClisAnswer = Static<typeof ClisAnswer>;
