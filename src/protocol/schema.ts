/** Pieces of schemas and patterns that several boundaries share. */
import { type TSchema, type TSchemaOptions, Type } from '#typebox';
import { AppError } from '../errors.ts';

/** Options of an object that refuses unknown members. */
export const closed = { additionalProperties: false } as const;

/** A value that may be null. */
export const nullable = <T extends TSchema>(schema: T, options: TSchemaOptions = {}) =>
  Type.Union([schema, Type.Null()], options);

/** A text that is searched for. SQLite's LIKE would end it at a NUL, and then match anything. */
export const searchText = (description: string) =>
  Type.String({ minLength: 1, maxLength: 256, pattern: '^[^\\u0000]*$', description });

/** A ULID in Crockford's base 32: 48 bits of time, then 80 random bits. */
export const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** The name of a model. It cannot be read as a flag or as several arguments. */
export const MODEL_PATTERN = '[A-Za-z0-9][\\w.:/@-]{0,127}';

/**
 * An RFC 3339 time in milliseconds since the epoch. `name`: of the field that holds it.
 * @throws AppError request.invalid
 */
export function instant(name: string, value: string): number {
  const time = Date.parse(value);
  if (!Number.isNaN(time)) return time;
  const message = 'must be an RFC 3339 date and time';
  throw new AppError('request.invalid', `${name} ${message}`, { problems: [{ path: `/${name}`, message }] });
}

export const PROJECT_PATTERN = '^[a-z0-9][a-z0-9_-]{0,63}$';
export const ProjectName = Type.String({ pattern: PROJECT_PATTERN, description: 'name of a project' });
