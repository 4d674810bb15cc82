import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer } from '../../helpers/server.ts';
import { breakableRedis, fakeClis, isReady } from '../fault-bench.ts';

describe('a Redis that is not there at the start', () => {
  it('is waited for', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    await redis.kill();
    // A server that hangs up is in its place, to notice the connection.
    const door = createServer((socket) => socket.destroy());
    onTestFinished(() => {
      door.close();
    });
    // The kernel takes the port from the last thread of a killed process a moment after its death.
    await eventually(async () => {
      door.listen(redis.port, '127.0.0.1');
      await once(door, 'listening');
    });

    const starting = startServer({ config: clis.config, env: { REDIS_URL: redis.url } });
    await once(door, 'connection');
    door.close();
    await once(door, 'close');
    await redis.restart();
    const server = await starting;

    await eventually(() => isReady(server), { timeoutMs: 40_000 });
    const job = await server.run({ provider: 'echo', prompt: 'one' });
    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'one' } });
  });
});
