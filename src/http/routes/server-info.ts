import { Type } from 'typebox';
import { answer, errorAnswers } from '../answers.ts';
import type { HttpApp } from '../http-app.ts';
import type { Health } from '../ports.ts';

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const nullableText = Type.Union([Type.String(), Type.Null()]);

const ProviderReport = Type.Object({
  name: Type.String(),
  available: Type.Boolean(),
  version: nullableText,
  binary: nullableText,
  authenticated: Type.Enum(['yes', 'no', 'unknown']),
  why: nullableText,
  capabilities: Type.Record(Type.String(), Type.Unknown()),
});

/** `GET /v1/providers` and `GET /metrics`. */
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
