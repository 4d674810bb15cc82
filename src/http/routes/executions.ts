import { Type } from '#typebox';
import { wireError } from '../../errors.ts';
import { Execution, jobOutcome } from '../../protocol/outcome.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { JobParams, jobIdOf, NoQuery } from '../parameters.ts';
import type { Jobs } from '../ports.ts';

const example: Execution = {
  id: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  attempt: 1,
  status: 'failed',
  node: '01K9ZV4PZZ3W5R7T9V1X3Z5B7D',
  provider: 'claude',
  credential: 'claude',
  nativeSessionId: '6d3f9a52-7c1e-4b8e-9f43-0d2c5b7a1e60',
  startedAt: '2026-11-21T12:00:00.000Z',
  endedAt: '2026-11-21T12:00:08.000Z',
  usage: {
    ...{ inputTokens: 12, outputTokens: 7, cacheReadTokens: 0, cacheWriteTokens: 0 },
    ...{ costUsd: 0.0002, costBasis: 'reported' },
  },
  outcome: {
    ...jobOutcome('failed', wireError('execution.crashed', 'the CLI was killed by SIGKILL')),
    executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  },
};

/** `GET /v1/jobs/:id/executions`. */
export function executionRoutes(app: HttpApp, jobs: Pick<Jobs, 'executions'>): void {
  app.get(
    '/v1/jobs/:id/executions',
    {
      schema: {
        tags: ['jobs'],
        operationId: 'listExecutions',
        summary: 'The executions of a job, the first one first',
        description: "Each run of a CLI for the job. The job's usage is the sum of theirs.",
        params: JobParams,
        querystring: NoQuery,
        response: {
          200: answer('All of them; `nextCursor` is always null', {
            'application/json': Type.Object(
              { data: Type.Array(Execution), nextCursor: Type.Null() },
              { examples: [{ data: [example], nextCursor: null }] },
            ),
          }),
          ...errorAnswers('auth.unauthenticated', 'job.not_found', 'request.not_acceptable'),
        },
      },
    },
    async (request) => {
      const data = await jobs.executions(principalOf(request), jobIdOf(request.params));
      return { data: [...data], nextCursor: null };
    },
  );
}
