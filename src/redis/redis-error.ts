/** What goes wrong with Redis, as errors of ours. Every connection translates for itself: see `connection.ts`. */
import { AppError, messageOf } from '../errors.ts';

/** Answers that speak of Redis's own state and pass with it; inside a script too. */
const PASSING =
  /^(OOM|MISCONF|READONLY|NOREPLICAS|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|UNBLOCKED|ERR max number of clients)\b/;
const SAID: Readonly<Record<string, string>> = {
  OOM: 'Redis is out of memory',
  MISCONF: 'Redis cannot write to its disk',
  READONLY: 'Redis takes no writes',
  LOADING: 'Redis still loads its data',
  BUSY: 'Redis is busy',
};
const MAX_TEXT = 300;

/** Whether Redis itself answered so, in place of a connection that failed. */
export const isReply = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError';

/** The first word of an answer: `NOPERM`. */
export const wordOf = (error: unknown): string => /^[A-Z]+/.exec(messageOf(error))?.[0] ?? 'ERR';

/**
 * An error of the Redis client as one of ours: redis.unavailable for an outage, redis.refused with what Redis said for
 * everything that stays wrong until somebody mends it.
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
    ? (SAID[wordOf(error)] ?? `Redis takes no commands now (${wordOf(error)})`)
    : null;
  return new AppError(
    'redis.unavailable',
    `${why ?? 'Redis cannot be reached'}; nothing was lost, try again`,
    {
      cause: error,
      retryAfterSeconds: 2,
    },
  );
}

/** A key holds another type than the command is for. */
export const isWrongType = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'redis.refused' && wordOf(error.cause) === 'WRONGTYPE';
