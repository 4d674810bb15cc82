import type { TSchema } from 'typebox';
import { checkJsonShape } from './json-body.ts';

const NUMBER = /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/;

/**
 * Query strings as the values their schema means: numbers, booleans, lists (repeated or comma-separated),
 * objects (as JSON). What does not read as such stays as it is, for the schema to refuse. A field the schema
 * does not know stays too.
 */
export function coerceQuery(schema: TSchema, query: unknown): unknown {
  if (typeof query !== 'object' || query === null) return query;
  const fields: Record<string, unknown> = {};
  const properties = propertiesOf(schema);
  for (const [name, value] of Object.entries(query)) {
    const field = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // defineProperty: a field called __proto__ must be seen and refused, not assigned.
    Object.defineProperty(fields, name, { value: coerce(field, value), enumerable: true });
  }
  return fields;
}

function coerce(schema: unknown, value: unknown): unknown {
  const type = keyword(schema, 'type');
  if (type === 'array') return list(value);
  if (typeof value !== 'string') return value;
  switch (type) {
    case 'integer':
    case 'number':
      return NUMBER.test(value) ? Number(value) : value;
    case 'boolean':
      return value === 'true' ? true : value === 'false' ? false : value;
    case 'object':
      return json(value);
    default:
      return value;
  }
}

/** `x=a,b` and `x=a&x=b` mean the same; a repeated value may hold commas of its own. */
const list = (value: unknown): unknown => (typeof value === 'string' ? value.split(',') : value);

/** JSON under the rules of JSON bodies, else the text itself. */
function json(text: string): unknown {
  try {
    checkJsonShape(Buffer.from(text));
    return JSON.parse(text, refusePoison);
  } catch {
    return text;
  }
}

function refusePoison(key: string, value: unknown): unknown {
  const constructs =
    key === 'constructor' && typeof value === 'object' && value !== null && 'prototype' in value;
  if (key === '__proto__' || constructs) throw new SyntaxError(`forbidden key ${key}`);
  return value;
}

const keyword = (schema: unknown, name: string): unknown =>
  typeof schema === 'object' && schema !== null && name in schema ? Reflect.get(schema, name) : undefined;

function propertiesOf(schema: TSchema): Record<string, unknown> {
  const properties = keyword(schema, 'properties');
  return typeof properties === 'object' && properties !== null ? { ...properties } : {};
}
