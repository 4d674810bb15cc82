import type { IncomingMessage } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify';
import { requestIdOf } from './headers.ts';
import type { HttpApp } from './http-app.ts';
import { answerClientError, answerFrameworkError } from './problem.ts';
import { type Connections, trackConnections } from './shutdown.ts';
import { validatorCompiler } from './validation.ts';

/** The Fastify instance without hooks and routes. */
export function createApp(
  settings: HttpSettings,
  proxies: readonly string[],
  logger: FastifyBaseLogger,
): HttpApp {
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
  // Others, such as that to HTTP/2, are offers that a server need not take.
  shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket',
  // headers.ts refuses instead.
  requireHostHeader: false,
});
