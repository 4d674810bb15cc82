import { type TSchema, Type } from '#typebox';
import { nullable } from '../../protocol/schema.ts';
import { ProviderReport } from '../../protocol/server-info.ts';
import { exampleProvider } from '../examples.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { NoQuery } from '../parameters.ts';
import type { Health } from '../ports.ts';

const Readiness = Type.Object(
  {
    ready: Type.Boolean(),
    degraded: Type.Boolean({
      description: 'ready, but a stored record cannot be read, or no terminal can be started',
    }),
    checks: Type.Record(Type.String(), Type.Object({ ok: Type.Boolean(), detail: nullable(Type.String()) })),
  },
  { examples: [{ ready: true, degraded: false, checks: { redis: { ok: true, detail: null } } }] },
);
const ExecutorHealth = Type.Object(
  {
    status: Type.Enum(['healthy', 'unhealthy']),
    mode: Type.Enum(['main-process', 'http'], {
      description: 'where CLIs run: in the server, or in an executor on another host',
    }),
    pendingRequests: Type.Integer(),
    running: Type.Integer(),
    limit: Type.Integer(),
  },
  { examples: [{ status: 'healthy', mode: 'main-process', pendingRequests: 0, running: 2, limit: 5 }] },
);
const Alive = Type.Object({ status: Type.Literal('ok') }, { examples: [{ status: 'ok' }] });
const json = (schema: TSchema) => ({ 'application/json': schema });

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * `GET /health`, `/ready` and `/claude-cli/health` for everyone; `GET /v1/providers` for callers;
 * `/metrics` and `/v1/providers/:name/resume` for admins.
 */
export function serverRoutes(app: HttpApp, health: Health): void {
  app.get(
    '/health',
    {
      config: { whileStopping: true },
      schema: {
        tags: ['server'],
        operationId: 'getHealth',
        summary: 'Whether the process is alive',
        response: { 200: answer('It is', json(Alive)) },
      },
    },
    async () => ({ status: 'ok' }),
  );

  app.get(
    '/ready',
    {
      schema: {
        tags: ['server'],
        operationId: 'getReadiness',
        summary: 'Whether the server accepts jobs, and the state of each dependency',
        response: {
          ...errorAnswers(),
          200: answer('Ready', json(Readiness)),
          503: answer('Not ready, or `server.stopping`', json(Readiness)),
        },
      },
    },
    async (_, reply) => {
      const readiness = await health.readiness();
      return reply.code(readiness.ready ? 200 : 503).send(readiness);
    },
  );

  app.get(
    '/claude-cli/health',
    {
      schema: {
        tags: ['server'],
        operationId: 'getExecutorHealth',
        summary: 'The executor that runs the CLIs',
        response: {
          ...errorAnswers(),
          200: answer('It runs CLIs', json(ExecutorHealth)),
          503: answer('It does not, or `server.stopping`', json(ExecutorHealth)),
        },
      },
    },
    async (_, reply) => {
      const { healthy, mode, pendingRequests, running, limit } = await health.executor();
      const status = healthy ? 'healthy' : 'unhealthy';
      return reply.code(healthy ? 200 : 503).send({ status, mode, pendingRequests, running, limit });
    },
  );

  app.get(
    '/v1/providers',
    {
      schema: {
        tags: ['server'],
        operationId: 'listProviders',
        summary: 'The CLIs: installed or not, logged in or not, and their capabilities',
        response: {
          200: answer(
            'Every known provider',
            json(
              Type.Object({ data: Type.Array(ProviderReport) }, { examples: [{ data: [exampleProvider] }] }),
            ),
          ),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async () => ({ data: await health.providers() }),
  );

  app.post(
    '/v1/providers/:name/resume',
    {
      schema: {
        tags: ['server'],
        operationId: 'resumeProvider',
        summary: 'Let jobs use a limited or refused credential before its time',
        params: Type.Object({ name: Type.String({ description: 'name of a provider, or of a credential' }) }),
        querystring: NoQuery,
        response: {
          200: answer(
            'They may be used',
            json(
              Type.Object(
                { opened: Type.Integer({ description: 'how many were limited or refused' }) },
                { examples: [{ opened: 1 }] },
              ),
            ),
          ),
          ...errorAnswers(
            ...(['auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'] as const),
            'provider.not_found',
          ),
        },
      },
    },
    async (request) => ({
      opened: await health.resumeProvider(principalOf(request), request.params.name),
    }),
  );

  app.get(
    '/metrics',
    {
      config: { produces: ['text/plain', 'application/openmetrics-text'] },
      schema: {
        tags: ['server'],
        operationId: 'getMetrics',
        summary: 'Prometheus metrics',
        response: {
          200: answer('Prometheus text', {
            'text/plain': Type.String({ examples: ['bullpen_jobs{status="running"} 2\n'] }),
          }),
          ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'),
        },
      },
    },
    async (_, reply) => reply.header('content-type', METRICS_TYPE).send(await health.metrics()),
  );
}
