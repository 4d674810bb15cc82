import { Type } from 'typebox';
import { ProviderReport, RunningExecution, WaitingProcessReport } from '../../protocol/server-info.ts';
import { answer, errorAnswers } from '../answers.ts';
import type { HttpApp } from '../http-app.ts';
import type { Health } from '../ports.ts';

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** `GET /v1/providers`, `GET /v1/executions` and `GET /metrics`. */
export function serverInfoRoutes(app: HttpApp, health: Health): void {
  app.get(
    '/v1/providers',
    {
      schema: {
        tags: ['server'],
        summary: 'The CLIs: which are there, logged in, and able to do what',
        response: {
          200: answer('Every known provider', {
            'application/json': Type.Object({ data: Type.Array(ProviderReport) }),
          }),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async () => ({ data: await health.providers() }),
  );

  app.get(
    '/v1/executions',
    {
      config: { access: 'admin' },
      schema: {
        tags: ['server'],
        summary: 'What runs on this server now, and what it uses',
        response: {
          200: answer('Every execution whose CLI runs, and every CLI that waits for a prompt', {
            'application/json': Type.Object({
              data: Type.Array(RunningExecution),
              waiting: Type.Array(WaitingProcessReport),
            }),
          }),
          ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'),
        },
      },
    },
    async () => ({ data: [...health.executions()], waiting: [...health.waiting()] }),
  );

  app.get(
    '/metrics',
    {
      config: { access: 'admin', produces: ['text/plain', 'application/openmetrics-text'] },
      schema: {
        tags: ['server'],
        summary: 'Prometheus metrics',
        response: {
          200: answer('Prometheus text', { 'text/plain': Type.String() }),
          ...errorAnswers('auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'),
        },
      },
    },
    async (_, reply) => reply.header('content-type', METRICS_TYPE).send(await health.metrics()),
  );
}
