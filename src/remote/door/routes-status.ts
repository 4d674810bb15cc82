/** `GET /health` and `GET /metrics`: for everyone, and without a secret. */
import { Type } from '#typebox';
import { negotiate } from '../../http/headers.ts';
import { type HttpApp, untilLeft } from '../../http/http-app.ts';
import { closed } from '../../protocol/schema.ts';
import type { Redactor } from '../../redactor.ts';
import type { ExecutorHealth, RemoteExecutions } from '../ports.ts';
import type { ExecutorMetrics } from './metrics.ts';
import type { SignatureCheck } from './signed-requests.ts';

/** What `GET /health?test=true` asks the CLI: as little as it can. */
const TEST_PROMPT = { prompt: 'Reply with the one word OK.', maxTurns: 1, timeoutMs: 60_000 } as const;

const TYPES = ['text/plain', 'application/json'] as const;
const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const HealthQuery = Type.Object({ test: Type.Optional(Type.Boolean()) }, closed);

type TestedHealth = ExecutorHealth & {
  /** What the CLI answered; null: it failed, and `problem` says why. */
  readonly testResponse: string | null;
};

export interface StatusRoutesOptions {
  /** From a cached probe; spends no prompt. */
  health(): Promise<ExecutorHealth>;
  readonly metrics: Pick<ExecutorMetrics, 'counts' | 'render'>;
  readonly executions: Pick<RemoteExecutions, 'execute'>;
  readonly signatures: SignatureCheck;
  readonly redactor: Redactor;
}

export function statusRoutes(
  app: HttpApp,
  { health, metrics, executions, signatures, redactor }: StatusRoutesOptions,
): void {
  const open = { signature: 'none', whileStopping: true } as const;

  async function tested(found: ExecutorHealth, signal: AbortSignal): Promise<TestedHealth> {
    const { outcome } = await executions.execute(TEST_PROMPT, signal);
    if (outcome.error === null) return { ...found, testResponse: outcome.text };
    const problem = `${outcome.error.code}: ${outcome.error.message}`;
    return { ...found, status: 'unhealthy', problem, testResponse: null };
  }

  app.get(
    '/health',
    { config: { ...open, uncounted: true }, schema: { querystring: HealthQuery } },
    async (request, reply) => {
      const { test = false } = request.query;
      if (test) await signatures.check(request, 'v2');
      const found = await health();
      const shown = test ? await tested(found, untilLeft(request, reply, app.stopping)) : found;
      return reply.code(shown.status === 'healthy' ? 200 : 503).send(redactor.value(shown));
    },
  );

  app.get(
    '/metrics',
    { config: { ...open, produces: TYPES }, schema: { querystring: Type.Object({}, closed) } },
    async (request, reply) => {
      if (negotiate(request, TYPES) === 'application/json') return metrics.counts();
      // A string would be sent as JSON.
      return reply.type(PROMETHEUS_TYPE).send(Buffer.from(await metrics.render()));
    },
  );
}
