import type { FastifySchemaCompiler } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import { AppError, type Problem } from '../errors.ts';

/** The JSON pointer before the problems of each part of a request. */
const PATH_PREFIX: Readonly<Record<string, string>> = {
  body: '',
  querystring: '/query',
  params: '/params',
  headers: '/headers',
};

/**
 * Validates with the TypeBox schema. The texts of a query string are converted to the types of its
 * schema first; bodies are not converted. A refused input is one AppError request.invalid with
 * every problem.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  /** Compiled by the first request of the route: all of them together would delay the start. */
  let compiled: ReturnType<typeof Compile<TSchema>> | null = null;
  const prefix = PATH_PREFIX[httpPart ?? 'body'] ?? '';
  return (input: unknown) => {
    compiled ??= Compile(schema);
    const validator = compiled;
    const value = httpPart === 'querystring' ? convertQuery(schema, input) : input;
    if (validator.Check(value)) return { value };
    return { error: invalid(problemsOf(validator.Errors(value), prefix)) };
  };
};

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

const NUMBER = /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/;

/**
 * A query string with the types of its schema: numbers, booleans, lists and objects (as JSON). A
 * value that does not fit its type stays text, and validation refuses it. TypeBox's `Value.Convert`
 * is no replacement: it reads '' as 0, `1.5` as the integer 1 and `1` as true, and has neither
 * lists nor JSON.
 */
function convertQuery(schema: TSchema, query: unknown): unknown {
  if (typeof query !== 'object' || query === null) return query;
  const properties = Type.IsObject(schema) ? schema.properties : {};
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(query)) {
    const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // defineProperty: a field called __proto__ must be seen and refused, not assigned.
    Object.defineProperty(fields, name, { value: field ? convert(field, value) : value, enumerable: true });
  }
  return fields;
}

function convert(schema: TSchema, value: unknown): unknown {
  // A list is repeated (`x=a&x=b`) or separated by commas (`x=a,b`).
  if (typeof value !== 'string') return value;
  if (Type.IsArray(schema)) return value.split(',');
  if (Type.IsInteger(schema) || Type.IsNumber(schema)) return NUMBER.test(value) ? Number(value) : value;
  if (Type.IsBoolean(schema)) return value === 'true' ? true : value === 'false' ? false : value;
  if (Type.IsObject(schema) || Type.IsRecord(schema)) return parseJson(value);
  return value;
}

/** JSON under the rules for JSON bodies, or the text itself if it is not valid. */
function parseJson(text: string): unknown {
  try {
    checkJsonShape(Buffer.from(text));
    return JSON.parse(text, refusePrototype);
  } catch {
    return text;
  }
}

function refusePrototype(key: string, value: unknown): unknown {
  const constructs =
    key === 'constructor' && typeof value === 'object' && value !== null && 'prototype' in value;
  if (key === '__proto__' || constructs) throw new SyntaxError(`forbidden key ${key}`);
  return value;
}

/** Deeper than any output schema, and far below what overflows the stack of recursive code. */
const MAX_JSON_DEPTH = 64;
/** Values and keys of a JSON body. The limit keeps parsing and validation within milliseconds. */
const MAX_JSON_ITEMS = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Refuses JSON text that is nested deeper than MAX_JSON_DEPTH or has more than `maxItems` items.
 * Reads the text once without parsing it; whether it is valid JSON is left to the parser.
 * @throws AppError request.invalid
 */
export function checkJsonShape(text: Buffer, maxItems: number = MAX_JSON_ITEMS): void {
  let depth = 0;
  let items = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) {
      at = endOfString(text, at);
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > MAX_JSON_DEPTH) throw tooMuch(`is nested deeper than ${MAX_JSON_DEPTH} levels`);
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
    } else if (byte === COMMA) {
      items++;
      if (items > maxItems) throw tooMuch(`has more than ${maxItems} items`);
    }
  }
}

/** The index of the quote that ends the string which begins at `start`. */
function endOfString(text: Buffer, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return text.length;
}

const tooMuch = (what: string): AppError =>
  new AppError('request.invalid', `the body ${what}`, { problems: [{ path: '', message: what }] });
