import cookie from '@fastify/cookie';
import type { Queue } from 'bullmq';
import type { FastifyBaseLogger, FastifyRequest } from 'fastify';
import type { Authenticator } from '../auth/keyring.ts';
import type { Keys } from '../auth/keys.ts';
import type { LoginSessions } from '../auth/logins.ts';
import { createStreamTickets } from '../auth/signed-values.ts';
import { createLiveCore, type LiveSettings } from '../live/core.ts';
import { createLogLimit } from '../log.ts';
import type { SettingInForce } from '../protocol/server-info.ts';
import type { Redactor } from '../redactor.ts';
import { auth } from './auth.ts';
import { bodyParsing } from './body.ts';
import { createApp, type HttpSettings } from './fastify.ts';
import { acceptable, commonHeaders } from './headers.ts';
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
import { errorHandler, notFound } from './problem.ts';
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
import { liveRoutes } from './routes/live.ts';
import { loginRoutes } from './routes/login.ts';
import { manyJobRoutes } from './routes/many-jobs.ts';
import { meRoute } from './routes/me.ts';
import { messageRoutes } from './routes/messages.ts';
import { pageRoutes } from './routes/page.ts';
import { preferenceRoutes } from './routes/preferences.ts';
import { processRoutes } from './routes/processes.ts';
import { serverRoutes } from './routes/server-info.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { settingsRoute } from './routes/settings.ts';
import { terminalRoutes } from './routes/terminals.ts';
import { usageRoute } from './routes/usage.ts';
import type { ApprovalService, SessionFeed, Sessions, Terminals } from './session-ports.ts';
import { stopping } from './shutdown.ts';

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
  readonly terminals: Terminals;
  readonly approvals: ApprovalService;
  readonly live: LiveSettings & { readonly liveOrigins: readonly string[] };
  readonly changes: ChangeFeed;
  readonly health: Health;
  readonly processes: Processes;
  readonly holds: Holds;
  readonly usage: ReadUsage;
  readonly callers: RequestLimits;
  readonly audit: Audit;
  readonly preferences: Preferences;
  readonly settingsInForce: readonly SettingInForce[];
  readonly measures: HttpMeasures;
  readonly auth: Authenticator;
  readonly logins: LoginSessions;
  readonly keys: Keys;
  /** The queues that Bull Board shows. The caller closes them. */
  readonly board: readonly Queue[];
  readonly redactor: Redactor;
  readonly logger: FastifyBaseLogger;
  readonly version: string;
  /** The folder of the built page; null: it is not built. */
  readonly page: string | null;
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
  terminals,
  approvals,
  live: liveSettings,
  changes,
  health,
  processes,
  holds,
  usage,
  callers,
  audit,
  preferences,
  settingsInForce,
  measures,
  auth: authenticator,
  logins,
  keys,
  board,
  redactor,
  logger,
  version,
  page,
}: HttpServerOptions): Promise<HttpApp> {
  const app = createApp(settings, place.trustProxy, logger);
  const names = createOwnNames(place.host, place.publicUrl);
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

  landingRoutes(app, version, page);
  await pageRoutes(app, page);
  loginRoutes(app, { authenticator, logins, names, audit });
  jobRoutes(app, jobs);
  executionRoutes(app, jobs);
  manyJobRoutes(app, manyJobs);
  const streams = { heartbeatMs: settings.heartbeatMs, onCut: measures.cutReader };
  batchRoutes(app, { batches, batchFeed, ...streams });
  sessionRoutes(app, sessions);
  terminalRoutes(app, terminals);
  messageRoutes(app, sessions);
  approvalRoutes(app, approvals);
  eventRoutes(app, { jobs, events, sessions, sessionFeed, changes, tickets, ...streams });
  const live = createLiveCore({
    settings: liveSettings,
    services: { jobs, sessions, terminals, approvals, limits: callers },
    feeds: { jobs, sessions, events, sessionFeed, changes },
    ...{ authenticator, tickets, redactor, measures },
    logger: logger.child({ component: 'live' }),
  });
  liveRoutes(app, { live, sessions, names, origins: liveSettings.liveOrigins });
  usageRoute(app, usage);
  serverRoutes(app, health);
  processRoutes(app, processes);
  holdRoutes(app, holds);
  keyRoutes(app, keys);
  meRoute(app);
  preferenceRoutes(app, preferences);
  settingsRoute(app, settingsInForce);
  auditRoutes(app, audit);
  boardRoutes(app, { queues: board, jobs, events, redactor });
  await app.ready();
  return app;
}

/** Whether a token came with the request, so that a refusal is more than a missing login. */
const hasToken = ({ headers, method }: FastifyRequest): boolean =>
  headers.authorization !== undefined || headers.cookie !== undefined || method === 'POST';
