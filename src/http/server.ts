import cookie from '@fastify/cookie';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { Queue } from 'bullmq';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import { createLoginSessions } from '../auth/login-sessions.ts';
import { createStreamTickets } from '../auth/stream-tickets.ts';
import { AppError, messageOf } from '../errors.ts';
import type { HttpApp } from './http-app.ts';
import { acceptable } from './plugins/acceptable.ts';
import { auth } from './plugins/auth.ts';
import { bodyParsing } from './plugins/body-parsing.ts';
import { answerClientError } from './plugins/client-error.ts';
import { type Connections, trackConnections } from './plugins/connections.ts';
import { answerFrameworkError, errorHandler } from './plugins/error-handler.ts';
import { hostHeader } from './plugins/host-header.ts';
import { notFound } from './plugins/not-found.ts';
import { openapi } from './plugins/openapi.ts';
import { requestIdOf, requestIds } from './plugins/request-id.ts';
import { requestLog } from './plugins/request-log.ts';
import { securityHeaders } from './plugins/security-headers.ts';
import { stopping } from './plugins/stopping.ts';
import type { Batches, EventHub, Health, Jobs, UsageReports } from './ports.ts';
import { batchRoutes } from './routes/batches.ts';
import { boardRoutes } from './routes/board.ts';
import { healthRoutes } from './routes/health.ts';
import { jobEventsRoute } from './routes/job-events.ts';
import { changeJobRoutes } from './routes/jobs-change.ts';
import { createJobRoute } from './routes/jobs-create.ts';
import { readJobRoutes } from './routes/jobs-read.ts';
import { landingRoutes } from './routes/landing.ts';
import { loginRoutes } from './routes/login.ts';
import { serverInfoRoutes } from './routes/server-info.ts';
import { streamTokensRoute } from './routes/stream-tokens.ts';
import { usageRoute } from './routes/usage.ts';
import { type HttpSettings, MAX_PARAM_LENGTH, nodeServerOptions } from './settings.ts';
import { validatorCompiler } from './validation.ts';

export interface HttpServerOptions {
  readonly settings: HttpSettings;
  readonly jobs: Jobs;
  readonly batches: Batches;
  readonly events: EventHub;
  readonly health: Health;
  readonly usage: UsageReports;
  readonly auth: Authenticator;
  /** Queues that Bull Board shows. They stay the caller's to close. */
  readonly board: readonly Queue[];
  readonly logger: FastifyBaseLogger;
  readonly version: string;
}

/**
 * The whole HTTP edge, ready to `listen()`. To stop: `refuseNewRequests()` while running jobs are drained and
 * watched, `beginStopping()` to end streams too, `close()` to wait for the answers under way and to close every
 * connection; each does what those before it do.
 */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpApp> {
  const { settings, jobs, events, health, auth: authenticator, version } = options;
  const app = createApp(options);
  const sessions = createLoginSessions();
  const tickets = createStreamTickets();

  // In the order a request meets them.
  requestIds(app);
  securityHeaders(app);
  requestLog(app);
  errorHandler(app);
  notFound(app);
  stopping(app);
  hostHeader(app);
  await app.register(cookie);
  auth(app, { authenticator, sessions, tickets });
  acceptable(app);
  bodyParsing(app);
  await openapi(app, version);

  landingRoutes(app, version);
  loginRoutes(app, authenticator, sessions);
  healthRoutes(app, health);
  createJobRoute(app, jobs);
  readJobRoutes(app, jobs);
  changeJobRoutes(app, jobs);
  batchRoutes(app, options.batches);
  jobEventsRoute(app, jobs, events, settings.heartbeatMs);
  streamTokensRoute(app, jobs, tickets);
  serverInfoRoutes(app, health);
  usageRoute(app, options.usage);
  boardRoutes(app, { queues: options.board, jobs, events });
  await app.ready();
  return app;
}

/**
 * Begins to listen; resolves with the address.
 * @throws AppError config.invalid when host and port cannot be had
 */
export async function listen(
  app: HttpApp,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    const other = 'PORT names another one, 0 takes any that is free';
    if (code === 'EADDRINUSE') throw noAddress(`port ${port} of ${host} is in use; ${other}`, error);
    if (code === 'EACCES') throw noAddress(`this user may not listen on port ${port}; ${other}`, error);
    throw noAddress(`the server cannot listen on ${host} (HOST), port ${port}: ${messageOf(error)}`, error);
  }
}

const noAddress = (message: string, cause: unknown): AppError =>
  new AppError('config.invalid', message, { cause });

function createApp({ settings, logger }: HttpServerOptions): HttpApp {
  const app = Fastify({
    loggerInstance: logger,
    // Our own line per request is in plugins/request-log.ts.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    genReqId: requestIdOf,
    requestIdHeader: false,
    http: nodeServerOptions(settings),
    bodyLimit: settings.bodyLimitBytes,
    requestTimeout: settings.requestTimeoutMs,
    connectionTimeout: settings.connectionTimeoutMs,
    keepAliveTimeout: settings.keepAliveTimeoutMs,
    maxRequestsPerSocket: settings.maxRequestsPerSocket,
    // No limit on handlers: long polls and streams are long by design.
    handlerTimeout: 0,
    forceCloseConnections: 'idle',
    // plugins/stopping.ts answers instead, as problem+json.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    trustProxy: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: (error, socket) => answerClientError(error.code, socket, connections),
  }).withTypeProvider<TypeBoxTypeProvider>();
  const connections: Connections = trackConnections(app);
  app.setValidatorCompiler(validatorCompiler);
  // Answers come from our own services, whole: the schemas document them and tests compare.
  app.setSerializerCompiler(() => (body) => JSON.stringify(body));
  return app;
}
