import type { FastifyBaseLogger } from 'fastify';
import type { Settings } from '../../config/schema.ts';
import { createApp, DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../../http/fastify.ts';
import { acceptable, commonHeaders } from '../../http/headers.ts';
import type { HttpApp } from '../../http/http-app.ts';
import { errorHandler, notFound } from '../../http/problem.ts';
import { stopping } from '../../http/shutdown.ts';
import { createLogLimit } from '../../log.ts';
import type { CliReport } from '../../protocol/server-info.ts';
import type { Redactor } from '../../redactor.ts';
import type { UsedSignatures } from '../../store/used-signatures.ts';
import type { ExecutorHealth, RemoteExecutions } from '../ports.ts';
import { BODY_BUDGET, type BodyBudget } from './body-budget.ts';
import { LINE_STREAMS, type LineStreams } from './execution-stream.ts';
import type { ExecutorMetrics } from './metrics.ts';
import { limitRequests } from './request-rate.ts';
import { executeRoute } from './routes-execute.ts';
import { executionRoutes } from './routes-executions.ts';
import { statusRoutes } from './routes-status.ts';
import { createSignatureCheck, signedBodies } from './signed-requests.ts';

export interface ExecutorDoorOptions {
  readonly settings: Pick<Settings, 'serviceSecrets' | 'serviceRequestsPerMinute' | 'serviceExempt'>;
  readonly executions: RemoteExecutions;
  /** Of this program. */
  readonly version: string;
  /** From a cached probe; spends no prompt. */
  health(): Promise<ExecutorHealth>;
  /** The CLIs of this host. */
  clis(): Promise<readonly CliReport[]>;
  readonly metrics: ExecutorMetrics;
  readonly signatures: Pick<UsedSignatures, 'use'>;
  readonly redactor: Redactor;
  readonly logger: FastifyBaseLogger;
  /** Limits of the HTTP server. */
  readonly http?: HttpSettings;
  readonly streams?: LineStreams;
  readonly budget?: BodyBudget;
  /** The clock that timestamps are compared with; milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * The HTTP server of an executor on another host; the caller listens. It stops as the API's server
 * does: `refuseNewRequests()` while executions are drained, in which they can be followed and
 * cancelled; `beginStopping()` to end streams; `close()`.
 *
 * Any Host is accepted: a page that lets its name point here (DNS rebinding) cannot sign a request,
 * and sees only what everyone may.
 */
export async function createExecutorDoor({
  settings,
  executions,
  version,
  health,
  clis,
  metrics,
  signatures: used,
  redactor,
  logger,
  http = DEFAULT_HTTP_SETTINGS,
  streams = LINE_STREAMS,
  budget = BODY_BUDGET,
  now = Date.now,
}: ExecutorDoorOptions): Promise<HttpApp> {
  const { serviceSecrets: secrets, serviceRequestsPerMinute: perMinute, serviceExempt: exempt } = settings;
  const app = createApp(http, [], logger);
  const refused = createLogLimit();
  const signatures = createSignatureCheck({
    ...{ secrets, used, now },
    onRefused({ ip: address }, code) {
      metrics.refused(code);
      const requests = refused(`${address} ${code}`);
      if (requests !== null) logger.warn({ address, code, requests }, 'signature refused');
    },
  });

  // Hooks run in this order.
  errorHandler(app, redactor);
  notFound(app, 'there is nothing at this path');
  commonHeaders(app, { knows: () => true, isOwnPage: () => false, httpsOnly: false });
  stopping(app);
  await limitRequests(app, { perMinute, exempt });
  acceptable(app);
  signedBodies(app, { signatures, budget });

  await app.register(async (scope) => executeRoute(scope, { executions, redactor }));
  await app.register(async (scope) => executionRoutes(scope, { executions, version, streams, clis }));
  statusRoutes(app, { health, metrics, executions, signatures, redactor });
  await app.ready();
  return app;
}
