import { type TSchema, Type } from 'typebox';
import { ERROR_CODES, type ErrorCode } from '../errors.ts';
import { PROBLEM_TYPE } from './problem.ts';

/** Schemas that the OpenAPI document names once and refers to everywhere. */
export type SharedSchema = 'Job' | 'JobListItem' | 'PromptRequest' | 'Problem';

/** A reference to a shared schema. */
export const shared = (name: SharedSchema): TSchema => Type.Unsafe({ $ref: `${name}#` });

/** An answer in the OpenAPI document: what it means, in which content type. */
export const answer = (description: string, content: Readonly<Record<string, TSchema>>) => ({
  description,
  content: Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }])),
});

/** An answer without a body. */
export const emptyAnswer = (description: string) => ({ description, type: 'null' });

/** Codes any route that does something may answer with. */
const COMMON: readonly ErrorCode[] = [
  'request.invalid',
  'redis.unavailable',
  'server.stopping',
  'internal.error',
];

/** The error answers of a route: its own codes and the common ones, by status. */
export function errorAnswers(...codes: readonly ErrorCode[]) {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of [...codes, ...COMMON]) {
    const { status } = ERROR_CODES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [
      status,
      answer(all.map((code) => `\`${code}\`: ${ERROR_CODES[code].title}`).join('; '), {
        [PROBLEM_TYPE]: shared('Problem'),
      }),
    ]),
  );
}
