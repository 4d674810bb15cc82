import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ChannelSettings, Settings } from '../../config/schema.ts';
import { findRedisServer } from './find-server.ts';
import { startPrivateRedis } from './private-server.ts';

/** The Redis that a Bullpen server uses. */
export interface RedisInUse {
  /** For `openConnection`. May hold a password: never log it. */
  readonly url: string;
  /** The same server for the sandboxed workers. */
  readonly workerUrl: string;
  /** Port of the private server; null with REDIS_URL. */
  readonly port: number | null;
  /** Why the private server does not run now; null when it runs, and with REDIS_URL. */
  problem(): string | null;
  stop(): Promise<void>;
}

/** Returns the Redis of `REDIS_URL`, else starts a private one in the data folder. */
export async function startRedis({
  settings,
  searchPath,
  logger,
}: {
  readonly settings: Pick<Settings, 'redisUrl' | 'workerRedisUrl' | 'home' | 'cacheDir'> & ChannelSettings;
  readonly searchPath: string;
  readonly logger: Logger;
}): Promise<RedisInUse> {
  if (settings.redisUrl !== null) {
    const { redisUrl: url, workerRedisUrl } = settings;
    return { url, workerUrl: workerRedisUrl ?? url, port: null, problem: () => null, stop: async () => {} };
  }
  const findBinary = () =>
    findRedisServer({
      cacheDir: join(settings.cacheDir, 'redis'),
      path: searchPath,
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
