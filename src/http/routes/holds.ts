import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { Node, Pause, PauseScope } from '../../protocol/server-info.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { NoQuery, optionalBody } from '../parameters.ts';
import type { Holds } from '../ports.ts';

const pause: Pause = { provider: 'claude', project: null, since: '2026-11-21T12:00:00.000Z' };
const queue = {
  'application/json': Type.Object(
    { paused: Type.Array(Pause, { description: 'oldest first; empty: nothing is paused' }) },
    { examples: [{ paused: [pause] }] },
  ),
};
const node: Node = {
  id: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C',
  status: 'ok',
  lastSeenAt: '2026-11-21T12:00:00.000Z',
  running: 2,
  given: 0,
  free: 6,
};
const one = { 'application/json': Type.Unsafe<Node>({ ...Node, examples: [node] }) };
const READ_ERRORS = ['auth.unauthenticated', 'request.not_acceptable'] as const;
const ADMIN_ERRORS = [...READ_ERRORS, 'auth.forbidden'] as const;

/**
 * `GET /v1/queue` for callers; `POST /v1/queue/pause` and `/resume`, and `/v1/nodes`, for admins.
 */
export function holdRoutes(app: HttpApp, holds: Holds): void {
  app.get(
    '/v1/queue',
    {
      schema: {
        tags: ['server'],
        operationId: 'getQueue',
        summary: 'What is paused',
        querystring: NoQuery,
        response: { 200: answer('What is paused', queue), ...errorAnswers(...READ_ERRORS) },
      },
    },
    async (request) => ({ paused: [...(await holds.paused(principalOf(request)))] }),
  );

  for (const [action, operationId, summary] of [
    ['pause', 'pauseQueue', 'Start no more jobs: of a provider, of a project, or at all'],
    ['resume', 'resumeQueue', 'End a pause'],
  ] as const) {
    app.post(
      `/v1/queue/${action}`,
      {
        preValidation: optionalBody,
        schema: {
          tags: ['server'],
          operationId,
          summary,
          description: `Running jobs go on. A paused job shows \`waiting\` and \`paused\`. Each pause ends by a resume of the same provider or project.`,
          querystring: NoQuery,
          body: PauseScope,
          response: {
            200: answer('What is paused now', queue),
            ...errorAnswers(...ADMIN_ERRORS, 'provider.not_found', 'project.not_found'),
          },
        },
      },
      async (request) => {
        const { body } = request;
        if (body.provider !== undefined && body.project !== undefined) {
          const message = 'must not be given together with provider';
          throw new AppError('request.invalid', `project ${message}`, {
            problems: [{ path: '/project', message }],
          });
        }
        return { paused: [...(await holds.pause(principalOf(request), body, action === 'pause'))] };
      },
    );
  }

  app.get(
    '/v1/nodes',
    {
      schema: {
        tags: ['server'],
        operationId: 'listNodes',
        summary: 'The servers on this Redis',
        querystring: NoQuery,
        response: {
          200: answer('All of them; `nextCursor` is always null', {
            'application/json': Type.Object(
              { data: Type.Array(Node), nextCursor: Type.Null() },
              { examples: [{ data: [node], nextCursor: null }] },
            ),
          }),
          ...errorAnswers(...ADMIN_ERRORS),
        },
      },
    },
    async () => ({ data: [...(await holds.nodes())], nextCursor: null }),
  );

  for (const [action, operationId, summary] of [
    ['drain', 'drainNode', 'Start no more jobs on a server'],
    ['resume', 'resumeNode', 'Let a drained server start jobs again'],
  ] as const) {
    app.post(
      `/v1/nodes/:id/${action}`,
      {
        preValidation: optionalBody,
        schema: {
          tags: ['server'],
          operationId,
          summary,
          description:
            'Its running jobs go on. Other servers run its waiting jobs, except those whose session is there: they show `waiting` and `node`. A restart does not end it.',
          params: Type.Object({ id: Type.String({ description: 'id of a node' }) }),
          querystring: NoQuery,
          body: Type.Object({}, { additionalProperties: false, examples: [{}] }),
          response: {
            200: answer('The node', one),
            ...errorAnswers(...ADMIN_ERRORS, 'node.not_found'),
          },
        },
      },
      async (request) => holds.drain(principalOf(request), request.params.id, action === 'drain'),
    );
  }
}
