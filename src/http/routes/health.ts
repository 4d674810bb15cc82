import { Type } from 'typebox';
import { nullable } from '../../protocol/schema.ts';
import { answer, errorAnswers } from '../answers.ts';
import type { HttpApp } from '../http-app.ts';
import type { Health } from '../ports.ts';

const nullableText = nullable(Type.String());
const Readiness = Type.Object({
  ready: Type.Boolean(),
  degraded: Type.Boolean({ description: 'ready, but something stored cannot be read' }),
  checks: Type.Record(Type.String(), Type.Object({ ok: Type.Boolean(), detail: nullableText })),
});
const ExecutorHealth = Type.Object({
  status: Type.Enum(['healthy', 'unhealthy']),
  mode: Type.Literal('main-process'),
  pendingRequests: Type.Integer(),
  running: Type.Integer(),
  limit: Type.Integer(),
});
const json = <T extends Parameters<typeof Type.Array>[0]>(schema: T) => ({ 'application/json': schema });

/** `GET /health`, `GET /ready` and `GET /claude-cli/health`, open to everybody. */
export function healthRoutes(app: HttpApp, health: Health): void {
  app.get(
    '/health',
    {
      config: { access: 'public', whileStopping: true },
      schema: {
        tags: ['server'],
        summary: 'Whether the process lives',
        response: { 200: answer('It does', json(Type.Object({ status: Type.Literal('ok') }))) },
      },
    },
    async () => ({ status: 'ok' }),
  );

  app.get(
    '/ready',
    {
      config: { access: 'public' },
      schema: {
        tags: ['server'],
        summary: 'Whether jobs are taken, with each dependency',
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
      config: { access: 'public' },
      schema: {
        tags: ['server'],
        summary: 'The executor that runs the CLIs',
        response: {
          ...errorAnswers(),
          200: answer('It runs CLIs', json(ExecutorHealth)),
          503: answer('It does not, or `server.stopping`', json(ExecutorHealth)),
        },
      },
    },
    async (_, reply) => {
      const { healthy, pendingRequests, running, limit } = await health.executor();
      const status = healthy ? 'healthy' : 'unhealthy';
      return reply
        .code(healthy ? 200 : 503)
        .send({ status, mode: 'main-process', pendingRequests, running, limit });
    },
  );
}
