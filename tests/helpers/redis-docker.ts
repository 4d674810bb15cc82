import { RedisContainer } from '@testcontainers/redis';
import { getContainerRuntimeClient } from 'testcontainers';
import { freeLoopbackPort, pingServer } from '../../src/redis/private/server-process.ts';
import { eventually } from './eventually.ts';
import type { TestRedis, TestRedisOptions } from './redis.ts';

const IMAGE = 'redis:8-alpine';
const PASSWORD = 'of-these-tests';
const READY_TIMEOUT_MS = 20_000;

/** A Redis in a container, on a port of 127.0.0.1 that stays over a restart. */
export async function startDockerRedis(options: TestRedisOptions): Promise<TestRedis> {
  const port = await freeLoopbackPort();
  const container = await new RedisContainer(IMAGE)
    .withExposedPorts({ container: 6379, host: port })
    .withCommand([
      'redis-server',
      ...['--appendonly', 'yes', '--appendfsync', options.fsync ?? 'always'],
      ...['--save', '', '--maxmemory-policy', 'noeviction'],
      // The same named user as the private server has; the default user stays open, as redis-cli
      // needs.
      ...['--user', 'bullpen', 'on', `>${PASSWORD}`, '~*', '&*', '+@all'],
    ])
    .start();
  const runtime = await getContainerRuntimeClient();
  const handle = runtime.container.getById(container.getId());
  const untilReady = () =>
    eventually(async () => (await pingServer(port, PASSWORD, 1000)) === 'pong', {
      timeoutMs: READY_TIMEOUT_MS,
    });
  const isRunning = async () => (await handle.inspect()).State.Running;
  await untilReady();
  return {
    url: `redis://bullpen:${PASSWORD}@127.0.0.1:${port}`,
    port,
    async stop() {
      await container.stop({ remove: true, removeVolumes: true });
    },
    async kill() {
      await handle.kill({ signal: 'SIGKILL' });
      await eventually(async () => !(await isRunning()), { timeoutMs: READY_TIMEOUT_MS });
    },
    async restart() {
      if (await isRunning()) await handle.stop();
      await handle.start();
      await untilReady();
    },
    async pause() {
      await handle.pause();
    },
    async resume() {
      await handle.unpause();
    },
    async cli(...args) {
      const { output } = await container.exec(['redis-cli', ...args]);
      return output.trimEnd();
    },
  };
}
