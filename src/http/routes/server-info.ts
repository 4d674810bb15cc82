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
  todo: Type.Union([Type.String(), Type.Null()], {
    description: 'what a person has to do before its jobs can succeed',
  }),
  circuit: Type.Enum(['closed', 'open', 'half_open'], {
    description: 'after a refused login: open refuses jobs at once, half_open lets one try',
  }),
  circuitOpenUntil: Type.Union([Type.String(), Type.Null()], {
    description: 'when the next job may try; null: any time',
  }),
  running: Type.Integer({ description: 'executions it runs now, as a fallback too' }),
  concurrency: Type.Union([Type.Integer(), Type.Null()], {
    description: "executions at once; null: only the server's limit",
  }),
  fallback: Type.Union([Type.String(), Type.Null()], {
    description: 'provider that runs its jobs when its CLI is missing',
  }),
  capabilities: Type.Record(Type.String(), Type.Unknown()),
});

const measured = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });

const RunningExecution = Type.Object({
  executionId: Type.String(),
  jobId: Type.String(),
  attempt: Type.Integer(),
  provider: Type.String(),
  pid: Type.Integer(),
  startedAt: Type.String(),
  ageMs: Type.Number(),
  idleMs: Type.Number({ description: 'since its last event' }),
  memoryBytes: measured('resident memory of all its processes; null before the first look at them'),
  cpuSeconds: measured('CPU time of all its processes'),
  openFiles: measured('open files of all its processes'),
  processes: measured('how many there are'),
});

const WaitingProcess = Type.Object({
  provider: Type.String(),
  pid: Type.Integer(),
  cwd: Type.String(),
  sessionId: Type.Union([Type.String(), Type.Null()], {
    description: 'whose next turn it waits for; null: for any job that would be started like it',
  }),
  waitingMs: Type.Number(),
  memoryBytes: measured('resident memory'),
});

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
              waiting: Type.Array(WaitingProcess),
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
