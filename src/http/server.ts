import cookie from '@fastify/cookie';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Queue } from 'bullmq';
import Fastify, { type FastifyBaseLogger, type FastifyRequest, LogController } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import type { Keys } from '../auth/keys.ts';
import { createLoginSessions, createStreamTickets } from '../auth/signed-values.ts';
import { AppError, messageOf } from '../errors.ts';
import { createLogLimit } from '../log.ts';
import type { Redactor } from '../redactor.ts';
import { auth } from './auth.ts';
import { bodyParsing } from './body.ts';
import { acceptable, commonHeaders, requestIdOf } from './headers.ts';
import type { HttpApp } from './http-app.ts';
import { openapi } from './openapi.ts';
import { refuseOverload } from './overload.ts';
import { createOwnNames } from './own-names.ts';
import type {
  Audit,
  Batches,
  BatchFeed,
  ChangeFeed,
  EventHub,
  Health,
  Holds,
  HttpMeasures,
  Jobs,
  ManyJobs,
  Preferences,
  Processes,
  ReadUsage,
  RequestLimits,
} from './ports.ts';
import { answerClientError, answerFrameworkError, errorHandler, notFound } from './problem.ts';
import { requestLimits } from './rate-limits.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { auditRoutes } from './routes/audit.ts';
import { batchRoutes } from './routes/batches.ts';
import { boardRoutes } from './routes/board.ts';
import { eventRoutes } from './routes/events.ts';
import { executionRoutes } from './routes/executions.ts';
import { holdRoutes } from './routes/holds.ts';
import { jobRoutes } from './routes/jobs.ts';
import { keyRoutes } from './routes/keys.ts';
import { landingRoutes } from './routes/landing.ts';
import { loginRoutes } from './routes/login.ts';
import { manyJobRoutes } from './routes/many-jobs.ts';
import { meRoute } from './routes/me.ts';
import { messageRoutes } from './routes/messages.ts';
import { preferenceRoutes } from './routes/preferences.ts';
import { processRoutes } from './routes/processes.ts';
import { serverRoutes } from './routes/server-info.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { usageRoute } from './routes/usage.ts';
import type { ApprovalService, SessionFeed, Sessions } from './session-ports.ts';
import { type Connections, stopping, trackConnections } from './shutdown.ts';
import { validatorCompiler } from './validation.ts';

/** Where the server is in its network. */
export interface HttpPlace {
  /** Address or name to listen on. */
  readonly host: string;
  /** The origin that callers of other machines use; null: there is none. */
  readonly publicUrl: string | null;
  /** Addresses and networks of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[];
}

export interface HttpServerOptions {
  readonly settings: HttpSettings;
  readonly place: HttpPlace;
  readonly jobs: Jobs;
  readonly manyJobs: ManyJobs;
  readonly batches: Batches;
  readonly batchFeed: BatchFeed;
  readonly events: EventHub;
  readonly sessions: Sessions;
  readonly sessionFeed: SessionFeed;
  readonly approvals: ApprovalService;
  readonly changes: ChangeFeed;
  readonly health: Health;
  readonly processes: Processes;
  readonly holds: Holds;
  readonly usage: ReadUsage;
  readonly callers: RequestLimits;
  readonly audit: Audit;
  readonly preferences: Preferences;
  readonly measures: HttpMeasures;
  readonly auth: Authenticator;
  readonly keys: Keys;
  /** The queues that Bull Board shows. The caller closes them. */
  readonly board: readonly Queue[];
  readonly redactor: Redactor;
  readonly logger: FastifyBaseLogger;
  readonly version: string;
}

/**
 * Builds the HTTP server; `listen()` starts it. A stop has three steps, and each includes those
 * before it: `refuseNewRequests()` while running jobs are drained, `beginStopping()` to end
 * streams, and `close()` to wait for the answers under way and close every connection.
 */
export async function createHttpServer({
  settings,
  place,
  jobs,
  manyJobs,
  batches,
  batchFeed,
  events,
  sessions,
  sessionFeed,
  approvals,
  changes,
  health,
  processes,
  holds,
  usage,
  callers,
  audit,
  preferences,
  measures,
  auth: authenticator,
  keys,
  board,
  redactor,
  logger,
  version,
}: HttpServerOptions): Promise<HttpApp> {
  const app = createApp(settings, place.trustProxy, logger);
  const names = createOwnNames(place.host, place.publicUrl);
  const logins = createLoginSessions();
  const tickets = createStreamTickets();

  // Hooks run in this order.
  errorHandler(app, redactor);
  notFound(app);
  commonHeaders(app, names);
  stopping(app);
  refuseOverload(app);
  const refused = createLogLimit();
  app.addHook('onResponse', async (request, { statusCode }) => {
    if (statusCode !== 401) return;
    measures.refusedLogin();
    if (!hasToken(request)) return;
    const { id: requestId, ip: address } = request;
    const count = refused(address);
    if (count !== null)
      audit.note({ id: null, address, requestId }, { action: 'login.refused', details: { count } });
  });
  await app.register(cookie);
  auth(app, { authenticator, logins, tickets, names });
  requestLimits(app, callers);
  acceptable(app);
  bodyParsing(app);
  await openapi(app, version);

  landingRoutes(app, version);
  loginRoutes(app, { authenticator, logins, names, audit });
  jobRoutes(app, jobs);
  executionRoutes(app, jobs);
  manyJobRoutes(app, manyJobs);
  const streams = { heartbeatMs: settings.heartbeatMs, onCut: measures.cutReader };
  batchRoutes(app, { batches, batchFeed, ...streams });
  sessionRoutes(app, sessions);
  messageRoutes(app, sessions);
  approvalRoutes(app, approvals);
  eventRoutes(app, { jobs, events, sessions, sessionFeed, changes, tickets, ...streams });
  usageRoute(app, usage);
  serverRoutes(app, health);
  processRoutes(app, processes);
  holdRoutes(app, holds);
  keyRoutes(app, keys);
  meRoute(app);
  preferenceRoutes(app, preferences);
  auditRoutes(app, audit);
  boardRoutes(app, { queues: board, jobs, events, redactor });
  await app.ready();
  return app;
}

/** Whether a token came with the request, so that a refusal is more than a missing login. */
const hasToken = ({ headers, method }: FastifyRequest): boolean =>
  headers.authorization !== undefined || headers.cookie !== undefined || method === 'POST';

/**
 * Starts to listen and returns the server's URL.
 * @throws AppError config.invalid when the address cannot be used
 */
export async function listen(
  app: HttpApp,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    const other = 'BULLPEN_PORT names another one, 0 takes any that is free';
    if (code === 'EADDRINUSE') throw noAddress(`port ${port} of ${host} is in use; ${other}`, error);
    if (code === 'EACCES') throw noAddress(`this user may not listen on port ${port}; ${other}`, error);
    throw noAddress(
      `the server cannot listen on ${host} (BULLPEN_HOST), port ${port}: ${messageOf(error)}`,
      error,
    );
  }
}

const noAddress = (message: string, cause: unknown): AppError =>
  new AppError('config.invalid', message, { cause });

function createApp(settings: HttpSettings, proxies: readonly string[], logger: FastifyBaseLogger): HttpApp {
  const app = Fastify({
    loggerInstance: logger,
    // headers.ts logs requests instead.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: requestIdOf,
    requestIdHeader: false,
    http: nodeServerOptions(settings),
    bodyLimit: settings.bodyLimitBytes,
    requestTimeout: settings.requestTimeoutMs,
    connectionTimeout: settings.connectionTimeoutMs,
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    maxRequestsPerSocket: settings.maxRequestsPerSocket,
    // Handlers have no time limit, because long polls and streams take long.
    handlerTimeout: 0,
    forceCloseConnections: 'idle',
    // shutdown.ts answers instead, with a problem.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    trustProxy: proxies.length > 0 && [...proxies],
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    frameworkErrors: answerFrameworkError,
    // With both, Fastify does not load its own: 130 modules.
    schemaController: {
      compilersFactory: {
        buildValidator: () => validatorCompiler as never, // as: the type is the one of ajv's compiler
        // Schemas of answers are documentation; tests compare them with the answers.
        buildSerializer: () => () => (body) => JSON.stringify(body),
      },
    },
    clientErrorHandler: (error, socket) => answerClientError(error.code, socket, connections),
  }).withTypeProvider<TypeBoxTypeProvider>();
  const connections: Connections = trackConnections(app);
  return app;
}

/** Limits of the HTTP server. Each is set here; none is left to a library's default. */
export interface HttpSettings {
  /** Largest request body. */
  readonly bodyLimitBytes: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestTimeoutMs: number;
  /** From the start of a connection, or of a request on it, to the end of the headers. */
  readonly headersTimeoutMs: number;
  /** Silence of a connection during a request. Streams and long polls are exempt. */
  readonly connectionTimeoutMs: number;
  /** Life of a connection between two requests. */
  readonly keepAliveTimeoutMs: number;
  /** 0 = no limit. */
  readonly maxRequestsPerSocket: number;
  /** Pause between two heartbeats in an event stream. */
  readonly heartbeatMs: number;
}

/** Keep-alive is longer than the usual 60 s of proxies, so the proxy closes first. */
export const DEFAULT_HTTP_SETTINGS: HttpSettings = {
  bodyLimitBytes: 2 * 1024 * 1024,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 15_000,
  connectionTimeoutMs: 120_000,
  keepAliveTimeoutMs: 72_000,
  maxRequestsPerSocket: 0,
  heartbeatMs: 15_000,
};

/** Request line and headers together; more is 431. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Longest path parameter; more is 404. */
const MAX_PARAM_LENGTH = 100;

const CHECK_CONNECTIONS_EVERY_MS = 5_000;
const TCP_KEEP_ALIVE_AFTER_MS = 30_000;

/** The settings of Node's own server. */
const nodeServerOptions = (settings: HttpSettings) => ({
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: settings.headersTimeoutMs,
  requestTimeout: settings.requestTimeoutMs,
  keepAliveTimeout: settings.keepAliveTimeoutMs,
  // Node checks the first two timeouts at this interval.
  connectionsCheckingInterval: Math.min(CHECK_CONNECTIONS_EVERY_MS, settings.headersTimeoutMs),
  // Finds peers that vanished, including those of quiet streams.
  keepAlive: true,
  keepAliveInitialDelay: TCP_KEEP_ALIVE_AFTER_MS,
  noDelay: true,
  insecureHTTPParser: false,
  // headers.ts refuses instead.
  requireHostHeader: false,
});
