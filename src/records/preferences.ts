import type { Redis } from 'ioredis';
import type { Preferences } from '../http/ports.ts';
import type { Names } from '../redis/names.ts';
import { isWrongType } from '../redis/redis-error.ts';

/** A caller that no page has seen for so long begins without preferences. */
const KEEP_MS = 400 * 86_400_000;

/**
 * {@link Preferences} in Redis, a key for each principal. Where another client of Redis has put
 * anything but a JSON object, there are none.
 */
export function createPreferences(redis: Pick<Redis, 'get' | 'set'>, names: Names): Preferences {
  return {
    async read({ id }) {
      try {
        const stored: unknown = JSON.parse((await redis.get(names.preferences(id))) ?? '{}');
        const isObject = typeof stored === 'object' && stored !== null && !Array.isArray(stored);
        return isObject ? { ...stored } : {};
      } catch (error) {
        if (error instanceof SyntaxError || isWrongType(error)) return {};
        throw error;
      }
    },
    async write({ id }, preferences) {
      await redis.set(names.preferences(id), JSON.stringify(preferences), 'PX', KEEP_MS);
    },
  };
}
