import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import { AppError, type Problem } from '../errors.ts';
import { coerceQuery } from './query-coercion.ts';

/** Where an input's problems are reported: bodies at their own fields, the rest under the part's name. */
const PATH_PREFIX: Readonly<Record<string, string>> = {
  body: '',
  querystring: '/query',
  params: '/params',
  headers: '/headers',
};

/**
 * Fastify's validator: the TypeBox schema as it stands. Bodies are never coerced, query strings are text and
 * are read as what their schema means. A refused input is one AppError request.invalid with every problem.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  const prefix = PATH_PREFIX[httpPart ?? 'body'] ?? '';
  return (input: unknown) => {
    const value = httpPart === 'querystring' ? coerceQuery(schema, input) : input;
    if (validator.Check(value)) return { value };
    return { error: invalid(problemsOf(validator.Errors(value), prefix)) };
  };
};

/** One error for everything that is wrong with a request. */
export function invalid(problems: readonly Problem[]): AppError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const detail =
    first === undefined ? 'the request is not valid' : `${where(first.path)} ${first.message}${more}`;
  return new AppError('request.invalid', detail, { problems });
}

const where = (path: string): string => (path === '' ? 'the body' : path.slice(1).replaceAll('/', '.'));

/** TypeBox's findings in words for people. */
export function problemsOf(errors: readonly TLocalizedValidationError[], prefix: string): Problem[] {
  return errors.flatMap((error): Problem[] => {
    const path = prefix + error.instancePath;
    switch (error.keyword) {
      case 'required':
        return error.params.requiredProperties.map((name) => ({
          path: `${path}/${name}`,
          message: 'is required',
        }));
      // Reported per field as `boolean` (the schema of an unknown field is `false`).
      case 'additionalProperties':
        return [];
      case 'boolean':
        return [{ path, message: 'is not a known field' }];
      case 'anyOf':
        return [];
      default:
        return [{ path, message: sentence(error) }];
    }
  });
}

function sentence(error: TLocalizedValidationError): string {
  switch (error.keyword) {
    case 'type':
      return `must be ${article(String(error.params.type))}`;
    case 'enum':
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

const article = (type: string): string => (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`);
