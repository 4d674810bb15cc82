import { Type } from '#typebox';
import { APPROVAL_STATUSES, Approval, DecideRequest } from '../../protocol/approval.ts';
import { closed, ULID } from '../../protocol/schema.ts';
import { exampleApproval } from '../examples.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers, pageOf } from '../openapi.ts';
import { ApprovalParams, approvalIdOf, DEFAULT_LIMIT, NoQuery, Page } from '../parameters.ts';
import type { ApprovalService } from '../session-ports.ts';

const approval = {
  'application/json': Type.Unsafe<Approval>({ ...Approval, examples: [exampleApproval] }),
};
const Id = (of: string) => Type.Optional(Type.String({ pattern: ULID.source, description: `of this ${of}` }));

const ListQuery = Type.Object(
  {
    status: Type.Optional(Type.Enum(APPROVAL_STATUSES, { description: 'in this state' })),
    jobId: Id('job'),
    sessionId: Id('session'),
    ...Page,
  },
  closed,
);

/** `/v1/approvals`: what running jobs ask of a person. */
export function approvalRoutes(app: HttpApp, approvals: ApprovalService): void {
  app.get(
    '/v1/approvals',
    {
      schema: {
        tags: ['approvals'],
        operationId: 'listApprovals',
        summary: 'Approvals, oldest first',
        querystring: ListQuery,
        response: {
          200: answer('A page of approvals', pageOf(Approval, exampleApproval)),
          ...errorAnswers('auth.unauthenticated'),
        },
      },
    },
    async (request) => {
      const { status = null, jobId = null, sessionId = null } = request.query;
      const { limit = DEFAULT_LIMIT, cursor = null } = request.query;
      return approvals.list(principalOf(request), { status, jobId, sessionId, limit, cursor });
    },
  );

  app.get(
    '/v1/approvals/:id',
    {
      schema: {
        tags: ['approvals'],
        operationId: 'getApproval',
        summary: 'An approval',
        params: ApprovalParams,
        querystring: NoQuery,
        response: {
          200: answer('The approval', approval),
          ...errorAnswers('auth.unauthenticated', 'approval.not_found'),
        },
      },
    },
    async (request) => approvals.get(principalOf(request), approvalIdOf(request.params)),
  );

  app.post(
    '/v1/approvals/:id/decide',
    {
      schema: {
        tags: ['approvals'],
        operationId: 'decideApproval',
        summary: 'Allow or deny what a job asks for',
        description:
          'The first decision counts. The same decision again is 200, another one 409. `input` replaces the input of the call; a question takes `answers`. With `scope: session` calls that match the `rule` need no further approval in the session.',
        params: ApprovalParams,
        querystring: NoQuery,
        body: DecideRequest,
        response: {
          200: answer('The approval, decided', approval),
          ...errorAnswers(
            ...(['auth.unauthenticated', 'approval.not_found', 'approval.already_decided'] as const),
            'tools.denied',
          ),
        },
      },
    },
    async (request) => approvals.decide(principalOf(request), approvalIdOf(request.params), request.body),
  );
}
