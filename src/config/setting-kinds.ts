/** Makers of settings for the table in `schema.ts`, one for each kind of value. */
import { Type } from '#typebox';
import { nullable } from '../protocol/schema.ts';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** An address without a path, for {@link text} and {@link optional}. */
export const ORIGIN = { pattern: '^https?://[^/?#@\\\\\\s]+/?$' };

/** What a problem of a setting says to people, who read no patterns. */
export const inWords = (message: string): string =>
  message.includes(ORIGIN.pattern)
    ? 'must be http://HOST or https://HOST, with a port or without, and nothing behind it'
    : message;

/**
 * `defaultText` describes a default that is computed, or none. The documents show it. `formerEnv`
 * is a variable that counts where `env` is not set.
 */
export const text = (env: string, description: string, rest = {}) =>
  Type.String({ env, description, ...rest });
export const optional = (env: string, defaultText: string, description: string, rest = {}) =>
  nullable(Type.String({ minLength: 1, ...rest }), { env, description, defaultText, default: null });
export const count = (env: string, initial: number, description: string, minimum = 1, maximum = 1e9) =>
  Type.Integer({ env, default: initial, minimum, maximum, description });
export const optionalCount = (
  env: string,
  defaultText: string,
  description: string,
  range: { minimum: number; maximum?: number } = { minimum: 1 },
) => nullable(Type.Integer(range), { env, description, defaultText, default: null });
/** Milliseconds. The maximum is far below what Node's timers can count (24.8 days). */
export const span = (env: string, initial: number, description: string, minimum = 1, maximum = DAY) =>
  Type.Integer({ env, default: initial, minimum, maximum, description });
export const age = (env: string, initial: number, description: string, minimum = 1) =>
  span(env, initial, description, minimum, 3660 * DAY);
/** A limit that `null`, in the file, switches off. */
export const limit = (env: string, initial: number, description: string) =>
  nullable(Type.Integer({ minimum: 1 }), { env, default: initial, description });
export const flag = (env: string, description: string) => Type.Boolean({ env, default: false, description });
export const list = (env: string, defaultText: string, description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { env, default: [], defaultText, description });
