import { Type } from '#typebox';
import { closed, instant, nullable } from '../../protocol/schema.ts';
import { UsageDimension, UsageRow } from '../../protocol/usage.ts';
import { exampleUsage } from '../examples.ts';
import { type HttpApp, principalOf } from '../http-app.ts';
import { answer, errorAnswers } from '../openapi.ts';
import type { ReadUsage } from '../ports.ts';

const nullableText = nullable(Type.String());
const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));

/** `GET /v1/usage`. */
export function usageRoute(app: HttpApp, readUsage: ReadUsage): void {
  app.get(
    '/v1/usage',
    {
      schema: {
        tags: ['usage'],
        operationId: 'getUsage',
        summary: 'Total tokens and cost of the executions that have ended',
        description:
          "Every attempt counts, including those of jobs that were deleted since. Costs are USD at the prices of the vendors' APIs, not what a subscription pays.",
        querystring: Type.Object(
          {
            by: Type.Optional(
              Type.Enum(UsageDimension.enum, {
                default: 'day',
                description:
                  'one row for each of these, or one for all of them: `total`; hours and days are in UTC',
              }),
            ),
            from: time('RFC 3339: executions that ended at this time or later'),
            to: time('RFC 3339: executions that ended before this time'),
          },
          closed,
        ),
        response: {
          200: answer(
            'One row per hour, day, provider, model, project, caller or tag, or one for all; the row for an unknown one is last',
            {
              'application/json': Type.Object(
                { by: UsageDimension, from: nullableText, to: nullableText, data: Type.Array(UsageRow) },
                { examples: [{ by: 'day', from: null, to: null, data: [exampleUsage] }] },
              ),
            },
          ),
          ...errorAnswers('auth.unauthenticated', 'request.not_acceptable'),
        },
      },
    },
    async (request) => {
      const { by = 'day', from, to } = request.query;
      const query = { by, from: inUtc('from', from), to: inUtc('to', to) };
      return { ...query, data: await readUsage(principalOf(request), query) };
    },
  );
}

/** The same instant in UTC, as the ledger writes times. @throws AppError request.invalid */
const inUtc = (name: string, time: string | undefined): string | null =>
  time === undefined ? null : new Date(instant(name, time)).toISOString();
