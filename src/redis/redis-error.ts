/** Errors of Redis as AppErrors. Each connection translates its own errors, see `connection.ts`. */
import { AppError, messageOf } from '../errors.ts';

/** Replies about a state of Redis that passes; a script may return them too. */
const PASSING =
  /^(OOM|MISCONF|READONLY|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|UNBLOCKED|ERR max number of clients)\b/;
const IN_WORDS: Readonly<Record<string, string>> = {
  OOM: 'Redis is out of memory',
  MISCONF: 'Redis cannot write to its disk',
  READONLY: 'Redis takes no writes',
  LOADING: 'Redis still loads its data',
  BUSY: 'Redis is busy',
};
const MAX_TEXT = 300;

/** True for a reply of Redis, false for a failed connection. */
export const isReply = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError';

/** The first word of a reply: `NOPERM`. */
export const wordOf = (error: unknown): string => /^[A-Z]+/.exec(messageOf(error))?.[0] ?? 'ERR';

/**
 * Translates an error of the Redis client: redis.unavailable for an outage, which passes;
 * redis.refused, with the text of Redis, for what stays wrong until a person corrects it.
 */
export function redisError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  const text = messageOf(error);
  if (isReply(error) && !PASSING.test(text)) {
    return new AppError('redis.refused', `Redis refused a command: ${text.slice(0, MAX_TEXT)}`, {
      cause: error,
    });
  }
  const why = isReply(error)
    ? (IN_WORDS[wordOf(error)] ?? `Redis takes no commands now (${wordOf(error)})`)
    : 'Redis cannot be reached';
  return new AppError('redis.unavailable', why, { cause: error, retryAfterSeconds: 2 });
}

/** A key holds another type than the command needs. */
export const isWrongType = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'redis.refused' && wordOf(error.cause) === 'WRONGTYPE';
