import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { userFolder } from '../../src/config/places.ts';
import type { RedisServerBinary } from '../../src/redis/private/find-server.ts';
import { executablesOnPath, findRedisServer } from '../../src/redis/private/find-server.ts';
import { type PrivateRedis, startPrivateRedis } from '../../src/redis/private/private-server.ts';
import { eventually } from './eventually.ts';
import { isAlive } from './proc.ts';
import type { TestRedis, TestRedisOptions } from './redis.ts';
import { makeTempDir, removeDir } from './temp.ts';

const execFileAsync = promisify(execFile);
const SEARCH_PATH = process.env['PATH'] ?? '';

/** Bullpen's cache of this user: tests share the server that was fetched into it. */
export const CACHE_DIR = join(userFolder(process.env, 'XDG_CACHE_HOME', '.cache'), 'bullpen');

/** The server of this machine, fetched on the first run. */
export function findTestServer(): Promise<RedisServerBinary> {
  return findRedisServer({
    cacheDir: join(CACHE_DIR, 'redis'),
    path: SEARCH_PATH,
    onProgress: (line) => console.error(line),
  });
}

/** A command with the arguments and the environment it needs. */
export interface RedisCli {
  readonly command: string;
  readonly env: Record<string, string>;
}

/** `redis-cli` of the same installation (fetched beside the server), or from PATH. */
export function findRedisCli(binary: RedisServerBinary): RedisCli {
  const command = ['redis-cli', 'valkey-cli']
    .flatMap((name) => [join(dirname(binary.path), name), ...executablesOnPath(name, SEARCH_PATH)])
    .find(existsSync);
  if (command === undefined) throw new Error(`there is no redis-cli beside ${binary.path} or on PATH`);
  return { command, env: binary.libraryPath === null ? {} : { LD_LIBRARY_PATH: binary.libraryPath } };
}

/** Runs `redis-cli` and resolves to what it prints. */
export async function runRedisCli(binary: RedisServerBinary, args: readonly string[]): Promise<string> {
  const { command, env } = findRedisCli(binary);
  return (await execFileAsync(command, [...args], { env })).stdout.trimEnd();
}

/**
 * The product's private server in a temporary folder, without its supervision: what is killed stays
 * dead.
 */
export async function startPrivateTestRedis(options: TestRedisOptions): Promise<TestRedis> {
  const binary = await findTestServer();
  const dir = makeTempDir();
  const start = () =>
    startPrivateRedis({
      dir,
      binary,
      requestChannel: options.requestChannel ?? 'claude:cli:requests',
      responseChannel: options.responseChannel ?? 'claude:cli:responses',
      fsync: options.fsync ?? 'always',
      restartLimit: 0,
    });
  let server: PrivateRedis = await start();
  const { url, port } = server;
  return {
    url,
    port,
    async stop() {
      await server.stop();
      removeDir(dir);
    },
    async kill() {
      process.kill(server.pid, 'SIGKILL');
      await eventually(() => !isAlive(server.pid));
    },
    async restart() {
      await server.stop();
      server = await start();
      if (server.port !== port) throw new Error(`port ${port} was taken while the test Redis was down`);
    },
    async pause() {
      process.kill(server.pid, 'SIGSTOP');
    },
    async resume() {
      process.kill(server.pid, 'SIGCONT');
    },
    cli: (...args) => runRedisCli(binary, ['-p', String(port), ...args]),
  };
}
