import { createHmac, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { signRequest } from '../../../src/auth/request-signature.ts';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../../../src/http/fastify.ts';
import type { Submission } from '../../../src/protocol/executor-service.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { BODY_BUDGET, type BodyBudget } from '../../../src/remote/door/body-budget.ts';
import { createExecutorDoor, type ExecutorDoorOptions } from '../../../src/remote/door/door.ts';
import { LINE_STREAMS, type LineStreams } from '../../../src/remote/door/execution-stream.ts';
import { createExecutorMetrics } from '../../../src/remote/door/metrics.ts';
import type { ExecutorCounts, ExecutorHealth } from '../../../src/remote/ports.ts';
import { missingCli } from '../../../src/status/cli-reports.ts';
import { FakeRemoteExecutions } from '../../fakes/remote-executions.ts';

export const SECRET = 'the secret that both sides share in tests';
export const OLD_SECRET = 'the secret that they shared before, in tests';
export const ID = '01ARZ3NDEKTSV4RRFFQ69G5FAV';

export const aSubmission = (changed: Partial<Submission> = {}): Submission => ({
  id: ID,
  jobId: 'J',
  attempt: 1,
  kind: 'api',
  sessionId: 'S',
  principal: 'ann',
  grants: [OPEN_GRANT as Submission['grants'][number]], // as: its lists are not readonly
  request: resolvedPrompt(),
  background: {
    session: null,
    fork: false,
    earlier: { nativeSessionId: null, asked: false, since: null, usage: null, ranMs: 0, turns: 0 },
  },
  ...changed,
});

export interface DoorChanges {
  readonly settings?: Partial<ExecutorDoorOptions['settings']>;
  readonly http?: Partial<HttpSettings>;
  readonly streams?: Partial<LineStreams>;
  readonly budget?: Partial<BodyBudget>;
  /** What was accepted before; a restart keeps it. */
  readonly used?: Set<string>;
  readonly now?: () => number;
}

/** The door over scripted executions; closed by `await using`. */
export async function startDoor({
  settings,
  http,
  streams,
  budget,
  used = new Set(),
  now = Date.now,
}: DoorChanges = {}) {
  const executions = new FakeRemoteExecutions();
  const health: { found: ExecutorHealth } = {
    found: {
      status: 'healthy',
      claudeAvailable: true,
      version: '2.1.0',
      loggedIn: true,
      problem: null,
      activeRequests: 2,
    },
  };
  const counts: { now: ExecutorCounts } = {
    now: {
      totalRequests: 5,
      successfulRequests: 3,
      failedRequests: 1,
      averageExecutionTime: 1500,
      activeRequests: 1,
    },
  };
  const log: string[] = [];
  const app = await createExecutorDoor({
    settings: {
      serviceSecrets: [SECRET],
      serviceRequestsPerMinute: 100,
      serviceExempt: ['127.0.0.1', '::1'],
      ...settings,
    },
    executions,
    version: '1.2.3',
    health: async () => health.found,
    clis: async () => [missingCli('claude', 'it is not there', 'install it')],
    metrics: createExecutorMetrics(() => counts.now),
    signatures: {
      async use(signature) {
        const isNew = !used.has(signature);
        used.add(signature);
        return isNew;
      },
    },
    redactor: createRedactor([SECRET]),
    logger: pino({ level: 'trace' }, { write: (line: string) => void log.push(line) }),
    http: { ...DEFAULT_HTTP_SETTINGS, ...http },
    streams: { ...LINE_STREAMS, ...streams },
    budget: { ...BODY_BUDGET, ...budget },
    now,
  });

  /** A request to a route of ours; `change`: its headers, after they were signed. */
  async function send(
    method: 'GET' | 'POST' | 'HEAD' | 'PUT',
    url: string,
    body: unknown = undefined,
    change: (headers: Record<string, string>) => Record<string, unknown> = (headers) => headers,
  ) {
    const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    const signed = signRequest({
      ...{ secret: SECRET, method, pathAndQuery: url, body: Buffer.from(payload) },
      ...{ now: now(), nonce: randomUUID() },
    });
    const headers = change({
      ...signed,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    });
    return app.inject({
      ...{ method, url },
      headers: headers as Record<string, string>, // as: some tests send what no client does
      ...(body === undefined ? {} : { payload }),
    });
  }

  return {
    app,
    executions,
    health,
    counts,
    log,
    used,
    send,
    /** `POST /execute` as the original's clients send it. */
    execute: (body: unknown, change?: Parameters<typeof originalHeaders>[1]) => {
      const payload = typeof body === 'string' ? body : JSON.stringify(body);
      const headers = originalHeaders(payload, { now: now(), ...change });
      return app.inject({ method: 'POST', url: '/execute', headers, payload });
    },
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    async [Symbol.asyncDispose]() {
      await app.close();
    },
  };
}

/** The headers of the original's scheme. */
export function originalHeaders(
  body: string,
  { now = Date.now(), secret = SECRET, nonce }: { now?: number; secret?: string; nonce?: string } = {},
): Record<string, string> {
  const text = nonce === undefined ? `${now}:${body}` : `${now}:${nonce}:${body}`;
  return {
    'content-type': 'application/json',
    'x-claude-timestamp': String(now),
    'x-claude-signature': createHmac('sha256', secret).update(text).digest('hex'),
    ...(nonce === undefined ? {} : { 'x-claude-nonce': nonce }),
  };
}

/** The headers of a GET of one of our routes. */
export const signedGet = (pathAndQuery: string) =>
  signRequest({
    ...{ secret: SECRET, method: 'GET', pathAndQuery, body: Buffer.alloc(0) },
    ...{ now: Date.now(), nonce: randomUUID() },
  });
