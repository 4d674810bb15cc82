import { Type } from '#typebox';
import { AppError } from '../../errors.ts';
import { AuditEntry, AuditFilter, type AuditHead, AuditVerification } from '../../protocol/audit.ts';
import { closed, nullable } from '../../protocol/schema.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import { DEFAULT_LIMIT, Page } from '../parameters.ts';
import type { Audit } from '../ports.ts';

const ERRORS = ['auth.unauthenticated', 'request.not_acceptable'] as const;
const example: AuditEntry = {
  ...{ id: '1795608000000-0', at: '2026-11-25T12:00:00.000Z', action: 'job.cancelled' },
  ...{ principal: 'key:01K9ZV4Q4S9V0M0X2T6D8Y3B7C', project: 'web', target: '01K9ZV4Q4PPJ6S5V6H9Y1C3D2E' },
  ...{ address: '10.0.0.7', requestId: '01K9ZV4Q4T3N8W5B6C7D8E9F0G', details: { force: true } },
};

/** `GET /v1/audit`: who did what; and for admins whether it is as it was written. */
export function auditRoutes(app: HttpApp, audit: Pick<Audit, 'list' | 'verify'>): void {
  app.get(
    '/v1/audit',
    {
      schema: {
        tags: ['audit'],
        operationId: 'listAudit',
        summary: 'Who did what, newest first',
        description:
          'A change and its entry are one step, so there is exactly one entry for each change. An entry holds no prompt and no secret. Admins see those of every project.',
        querystring: Type.Object({ ...AuditFilter, ...Page }, closed),
        response: {
          200: answer('One page', {
            'application/json': Type.Object(
              { data: Type.Array(AuditEntry), nextCursor: nullable(Type.String()) },
              { examples: [{ data: [example], nextCursor: null }] },
            ),
          }),
          ...errorAnswers(...ERRORS),
        },
      },
    },
    async (request) => {
      const { limit = DEFAULT_LIMIT, cursor = null, ...filter } = request.query;
      const { data, nextCursor } = await audit.list(principalOf(request), { ...filter, limit, cursor });
      return { data: [...data], nextCursor };
    },
  );

  app.get(
    '/v1/audit/verification',
    {
      schema: {
        tags: ['audit'],
        operationId: 'verifyAudit',
        summary: "Whether this server's audit is as it was written",
        description:
          'Each entry has the hash of itself and the one before it. The check finds an entry that was changed, removed, moved or added later. It reads all entries.',
        querystring: Type.Object(
          {
            head: Type.Optional(
              Type.String({
                pattern: '^[1-9][0-9]{0,14}:[0-9a-f]{64}$',
                description: '`seq:hash` of an earlier `head`, which must still be part of the chain',
              }),
            ),
          },
          closed,
        ),
        response: {
          200: answer('The result', { 'application/json': AuditVerification }),
          ...errorAnswers(...ERRORS),
        },
      },
    },
    async ({ query }) => audit.verify(query.head === undefined ? null : headOf(query.head)),
  );
}

/** @throws AppError internal.error for a text that the schema does not allow */
function headOf(text: string): AuditHead {
  const [seq, hash] = text.split(':');
  if (seq === undefined || hash === undefined) throw new AppError('internal.error', 'the head is no head');
  return { seq: Number(seq), hash };
}
