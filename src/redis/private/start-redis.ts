import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ChannelSettings, Settings } from '../../config/schema.ts';
import { findRedisServer } from './find-server.ts';
import { startPrivateRedis } from './private-server.ts';

/** The Redis a server works with. */
export interface RedisInUse {
  /** As `openConnection` takes it. May hold a password: never logged. */
  readonly url: string;
  /** The same for the sandboxed workers. */
  readonly workerUrl: string;
  /** Port of the private server; null for one that was given. */
  readonly port: number | null;
  /** Why the private server does not run now, or null; null for one that was given. */
  problem(): string | null;
  stop(): Promise<void>;
}

/** `REDIS_URL`, else a private server in the data folder, its binary found or fetched into the cache. */
export async function startRedis(options: {
  readonly settings: Pick<Settings, 'redisUrl' | 'workerRedisUrl' | 'home' | 'cacheDir'> & ChannelSettings;
  readonly searchPath: string;
  readonly logger: Logger;
}): Promise<RedisInUse> {
  const { settings, logger } = options;
  if (settings.redisUrl !== null) {
    const { redisUrl: url, workerRedisUrl } = settings;
    return { url, workerUrl: workerRedisUrl ?? url, port: null, problem: () => null, stop: async () => {} };
  }
  const findBinary = () =>
    findRedisServer({
      cacheDir: join(settings.cacheDir, 'redis'),
      path: options.searchPath,
      onProgress: (line) => logger.info(line),
    });
  const { prefix, requestChannel, responseChannel } = settings;
  const redis = await startPrivateRedis({
    dir: join(settings.home, 'redis'),
    binary: await findBinary(),
    findBinary,
    prefix,
    requestChannel,
    responseChannel,
    logger,
  });
  const { workerUrl, port, problem, stop } = redis;
  return { url: redis.socketUrl ?? redis.url, workerUrl, port, problem, stop };
}
