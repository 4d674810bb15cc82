import type { Redis } from 'ioredis';
import type { Preferences } from '../http/ports.ts';
import type { Names } from '../redis/names.ts';

/** A caller that no page has seen for so long begins without preferences. */
const KEEP_MS = 400 * 86_400_000;

/** {@link Preferences} in Redis, a key for each principal. */
export function createPreferences(redis: Pick<Redis, 'get' | 'set'>, names: Names): Preferences {
  return {
    async read({ id }) {
      const stored: unknown = JSON.parse((await redis.get(names.preferences(id))) ?? '{}');
      return stored as Record<string, unknown>; // as: `write` stored it
    },
    async write({ id }, preferences) {
      await redis.set(names.preferences(id), JSON.stringify(preferences), 'PX', KEEP_MS);
    },
  };
}
