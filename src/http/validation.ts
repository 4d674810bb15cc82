import type { FastifySchemaCompiler } from 'fastify';
import { type TSchema, Type } from '#typebox';
import { AppError } from '../errors.ts';
import { createChecker } from '../protocol/checker.ts';
import { invalid, problemsOf } from '../protocol/problem.ts';

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
  const checker = createChecker(schema);
  const prefix = PATH_PREFIX[httpPart ?? 'body'] ?? '';
  return (input: unknown) => {
    const value = httpPart === 'querystring' ? convertQuery(schema, input) : input;
    if (checker.check(value)) return { value };
    return { error: invalid(problemsOf(checker.errors(value), prefix)) };
  };
};

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
export const MAX_JSON_DEPTH = 64;
/** Values and keys of a JSON body. The limit keeps parsing and validation within milliseconds. */
export const MAX_JSON_ITEMS = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Refuses JSON text that is nested deeper than `maxDepth` or has more than `maxItems` items.
 * Reads the text once without parsing it; whether it is valid JSON is left to the parser.
 * @throws AppError request.invalid
 */
export function checkJsonShape(
  text: Buffer,
  maxItems: number = MAX_JSON_ITEMS,
  maxDepth: number = MAX_JSON_DEPTH,
): void {
  let depth = 0;
  let items = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) {
      at = endOfString(text, at);
    } else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > maxDepth) throw tooMuch(`is nested deeper than ${maxDepth} levels`);
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
