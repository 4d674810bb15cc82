/**
 * Prints the path of a usable Redis server, fetching one into the cache first when the machine has
 * none. Warms the cache in CI: `node scripts/provision-redis.ts`.
 */

import { join } from 'node:path';
import { userFolder } from '../src/config/places.ts';
import { messageOf } from '../src/errors.ts';
import { findRedisServer } from '../src/redis/private/find-server.ts';

try {
  const binary = await findRedisServer({
    cacheDir: join(userFolder(process.env, 'XDG_CACHE_HOME', '.cache'), 'bullpen', 'redis'),
    path: process.env['PATH'] ?? '',
    onProgress: (line) => console.error(line),
  });
  console.log(binary.path);
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
