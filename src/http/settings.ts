/** Limits of the HTTP edge. Every one is set, none is left to a library's default. */
export interface HttpSettings {
  /** Largest request body. */
  readonly bodyLimitBytes: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestTimeoutMs: number;
  /** From the opening of a connection, or the first byte of a request, to the end of the headers. */
  readonly headersTimeoutMs: number;
  /** A connection without any traffic while a request is under way; streams and long polls are exempt. */
  readonly connectionTimeoutMs: number;
  /** A connection between two requests. */
  readonly keepAliveTimeoutMs: number;
  /** 0 = no limit. */
  readonly maxRequestsPerSocket: number;
  /** Between two signs of life in an event stream. */
  readonly heartbeatMs: number;
}

/** Keep-alive is longer than the 60 s of usual proxies, so that the proxy closes first. */
export const DEFAULT_HTTP_SETTINGS: HttpSettings = {
  bodyLimitBytes: 2 * 1024 * 1024,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 15_000,
  connectionTimeoutMs: 120_000,
  keepAliveTimeoutMs: 72_000,
  maxRequestsPerSocket: 0,
  heartbeatMs: 15_000,
};

/** Longest `?wait`. */
export const MAX_WAIT_SECONDS = 300;
/** Request line and headers together; more is 431. */
export const MAX_HEADER_BYTES = 16 * 1024;
/** Longest path parameter; more is 404. */
export const MAX_PARAM_LENGTH = 100;

const CHECK_CONNECTIONS_EVERY_MS = 5_000;
const TCP_KEEP_ALIVE_AFTER_MS = 30_000;

/** The part of the settings that Node's own server takes. */
export const nodeServerOptions = (settings: HttpSettings) => ({
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: settings.headersTimeoutMs,
  requestTimeout: settings.requestTimeoutMs,
  keepAliveTimeout: settings.keepAliveTimeoutMs,
  // The two timeouts above are only looked at this often.
  connectionsCheckingInterval: Math.min(CHECK_CONNECTIONS_EVERY_MS, settings.headersTimeoutMs),
  // Finds peers that vanished without a word, also behind streams that are quiet for long.
  keepAlive: true,
  keepAliveInitialDelay: TCP_KEEP_ALIVE_AFTER_MS,
  noDelay: true,
  insecureHTTPParser: false,
  // plugins/host-header.ts refuses instead.
  requireHostHeader: false,
});
