/** Errors as callers get them, and what is wrong with an input. */

import type { TLocalizedValidationError } from 'typebox/error';
import { type Static, Type } from '#typebox';
import { AppError, ERROR_CODES, type Problem } from '../errors.ts';

/** The body of every error answer (RFC 9457). */
export const ProblemDetails = Type.Object({
  type: Type.String({ description: 'reference to the meaning of the code' }),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String({ description: 'one of the table of error codes' }),
  detail: Type.String(),
  requestId: Type.String(),
  errors: Type.Optional(Type.Array(Type.Object({ path: Type.String(), message: Type.String() }))),
});
export type ProblemDetails = Static<typeof ProblemDetails>;

/** An error as its answer has it. */
export function problemOf(error: AppError, requestId: string): ProblemDetails {
  return {
    type: `/docs/errors#${error.code}`,
    title: ERROR_CODES[error.code].title,
    status: error.status,
    code: error.code,
    detail: error.message,
    requestId,
    ...(error.problems.length > 0
      ? { errors: error.problems.map(({ path, message }) => ({ path, message })) }
      : {}),
  };
}

/** One error for every problem of a request. */
export function invalid(problems: readonly Problem[]): AppError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const detail =
    first === undefined ? 'the request is not valid' : `${place(first.path)} ${first.message}${more}`;
  return new AppError('request.invalid', detail, { problems });
}

const place = (path: string): string => (path === '' ? 'the body' : path.slice(1).replaceAll('/', '.'));

/** TypeBox's errors in words for people. */
export function problemsOf(errors: readonly TLocalizedValidationError[], prefix: string): Problem[] {
  return errors.flatMap((error): Problem[] => {
    const path = prefix + error.instancePath;
    switch (error.keyword) {
      case 'required':
        return error.params.requiredProperties.map((name) => ({
          path: `${path}/${name}`,
          message: 'is required',
        }));
      // Each unknown field has an error of its own: `boolean`, because its schema is `false`.
      case 'additionalProperties':
        return [];
      case 'boolean':
        return [{ path, message: 'is not a known field' }];
      case 'anyOf':
        return [];
      default:
        return [{ path, message: messageFor(error) }];
    }
  });
}

/** A longer list of values would hide the rest of an answer. */
const MAX_NAMED = 30;

function messageFor(error: TLocalizedValidationError): string {
  switch (error.keyword) {
    case 'type':
      return `must be ${withArticle(String(error.params.type))}`;
    case 'enum':
      if (error.params.allowedValues.length > MAX_NAMED) return 'is none of the values in /openapi.json';
      return `must be one of ${error.params.allowedValues.map(String).join(', ')}`;
    case 'minLength':
      return error.params.limit === 1
        ? 'must not be empty'
        : `must have at least ${error.params.limit} characters`;
    case 'maxLength':
      return `must have at most ${error.params.limit} characters`;
    case 'maxItems':
      return `must have at most ${error.params.limit} items`;
    case 'uniqueItems':
      return 'must not repeat an item';
    case 'minimum':
      return `must be at least ${error.params.limit}`;
    case 'maximum':
      return `must be at most ${error.params.limit}`;
    case 'exclusiveMinimum':
      return `must be more than ${error.params.limit}`;
    case 'pattern':
      return 'has a form or characters that are not allowed';
    default:
      return error.message;
  }
}

const withArticle = (type: string): string => (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`);
