import { type Static, Type } from '#typebox';
import { createChecker } from '../protocol/checker.ts';
import { invalid, problemsOf } from '../protocol/problem.ts';
import { checkPromptText, PromptRequest, promptOptions } from '../protocol/prompt.ts';
import { closed } from '../protocol/schema.ts';
import { Wait } from './parameters.ts';

/**
 * Query of `POST /v1/jobs`. The options are for text bodies only: lists are repeated or separated
 * by commas, objects are JSON.
 */
export const CreateQuery = Type.Object(
  {
    wait: Wait,
    ...promptOptions,
    maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 20, description: 'retry.maxAttempts' })),
  },
  closed,
);
export type CreateQuery = Static<typeof CreateQuery>;

const validator = createChecker(PromptRequest);

/**
 * The request in a JSON body, or in a text body and its query.
 * @param mediaType of the body; undefined: no body
 * @throws AppError request.invalid with every problem, request.too_large
 */
export function promptRequestOf(
  mediaType: string | undefined,
  body: unknown,
  query: CreateQuery,
): PromptRequest {
  const { wait: _, ...options } = query;
  const isText = mediaType === 'text/plain' && typeof body === 'string';
  const request = isText ? fromText(body, options) : fromJson(body, options);
  checkPromptText(request);
  if (validator.check(request)) return request;
  throw invalid(problemsOf(validator.errors(request), ''));
}

type QueryOptions = Omit<CreateQuery, 'wait'>;

function fromText(prompt: string, { maxAttempts, ...options }: QueryOptions): PromptRequest {
  if (maxAttempts === undefined) return { ...options, prompt };
  if (options.retry === undefined) return { ...options, retry: { maxAttempts }, prompt };
  throw invalid([{ path: '/query/maxAttempts', message: 'must not be given together with retry' }]);
}

function fromJson(body: unknown, options: QueryOptions): unknown {
  const misplaced = Object.keys(options);
  if (misplaced.length === 0) return body ?? null;
  const message = 'belongs in the JSON body; the query takes options for text bodies only';
  throw invalid(misplaced.map((name) => ({ path: `/query/${name}`, message })));
}
