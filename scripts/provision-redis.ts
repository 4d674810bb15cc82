/**
 * Prints the path of a usable Redis server, fetching one into the cache first when the machine has none.
 * Warms the cache in CI: `node scripts/provision-redis.ts`.
 */
import { messageOf } from '../src/errors.ts';
import { redisCacheDir } from '../src/redis/private/cache-dir.ts';
import { findRedisServer } from '../src/redis/private/find-server.ts';

try {
  const binary = await findRedisServer({
    cacheDir: redisCacheDir(process.env['XDG_CACHE_HOME']),
    path: process.env['PATH'] ?? '',
    onProgress: (line) => console.error(line),
  });
  console.log(binary.path);
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
