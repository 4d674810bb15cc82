import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { closed, ULID } from '../../protocol/schema.ts';
import { CliProcess, ProcessSummary } from '../../protocol/server-info.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { CancelBody, NoQuery, optionalBody } from '../parameters.ts';
import type { Processes } from '../ports.ts';

const ProcessParams = Type.Object({ id: Type.String({ description: 'ULID of a process' }) });
const ADMIN_ERRORS = ['auth.unauthenticated', 'auth.forbidden', 'request.not_acceptable'] as const;
const example: CliProcess = {
  id: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  state: 'running',
  provider: 'claude',
  pid: 4711,
  alive: true,
  jobId: '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E',
  attempt: 1,
  sessionId: '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E',
  cwd: '/home/me/my-project',
  since: '2026-11-21T12:00:00.000Z',
  ageMs: 8123,
  idleMs: 350,
  memoryBytes: 171_966_464,
  cpuSeconds: 2.4,
  openFiles: 41,
  processes: 2,
};
const one = { 'application/json': Type.Unsafe<CliProcess>({ ...CliProcess, examples: [example] }) };

/** The processes of CLIs on this node; for admins. */
export function processRoutes(app: HttpApp, processes: Processes): void {
  app.get(
    '/v1/processes',
    {
      schema: {
        tags: ['server'],
        operationId: 'listProcesses',
        summary: 'The processes of CLIs on this server: those that run a job, and idle ones',
        querystring: Type.Object(
          { provider: Type.Optional(Type.String({ maxLength: 64, description: 'of this provider' })) },
          closed,
        ),
        response: {
          200: answer('All of them, running ones first; `nextCursor` is always null', {
            'application/json': Type.Object(
              { data: Type.Array(CliProcess), summary: ProcessSummary, nextCursor: Type.Null() },
              {
                examples: [{ data: [example], summary: { total: 1, alive: 1, dead: 0 }, nextCursor: null }],
              },
            ),
          }),
          ...errorAnswers(...ADMIN_ERRORS),
        },
      },
    },
    async (request) => {
      const data = [...processes.list(request.query.provider ?? null)];
      const alive = data.filter((one) => one.alive).length;
      return { data, summary: { total: data.length, alive, dead: data.length - alive }, nextCursor: null };
    },
  );

  app.get(
    '/v1/processes/:id',
    {
      schema: {
        tags: ['server'],
        operationId: 'getProcess',
        summary: 'A process of a CLI',
        params: ProcessParams,
        querystring: NoQuery,
        response: {
          200: answer('The process', one),
          ...errorAnswers(...ADMIN_ERRORS, 'process.not_found'),
        },
      },
    },
    async (request) => processes.get(processIdOf(request.params)),
  );

  app.post(
    '/v1/processes/:id/terminate',
    {
      preValidation: optionalBody,
      schema: {
        tags: ['server'],
        operationId: 'terminateProcess',
        summary: 'Cancel the job that a process runs, or end an idle process',
        params: ProcessParams,
        querystring: NoQuery,
        body: CancelBody,
        response: {
          202: answer('Requested; the process as it was. The job may still end otherwise', one),
          ...errorAnswers(...ADMIN_ERRORS, 'process.not_found', 'job.already_finished'),
        },
      },
    },
    async (request, reply) => {
      const { params, body } = request;
      const force = body.force ?? false;
      const process = await processes.terminate(principalOf(request), processIdOf(params), force);
      return reply.code(202).send(process);
    },
  );

  app.post(
    '/v1/providers/:name/cleanup',
    {
      schema: {
        tags: ['server'],
        operationId: 'cleanUpProvider',
        summary: 'End the idle processes of a provider',
        params: Type.Object({ name: Type.String({ description: 'name of a provider' }) }),
        querystring: NoQuery,
        response: {
          200: answer('They have ended', {
            'application/json': Type.Object(
              { ended: Type.Integer({ description: 'how many' }) },
              { examples: [{ ended: 2 }] },
            ),
          }),
          ...errorAnswers(...ADMIN_ERRORS, 'provider.not_found'),
        },
      },
    },
    async (request) => ({ ended: await processes.cleanUp(principalOf(request), request.params.name) }),
  );
}

/** The id of a process. @throws AppError process.not_found */
function processIdOf({ id }: { readonly id: string }): string {
  if (ULID.test(id)) return id;
  throw new AppError('process.not_found', 'there is no process with this id');
}
