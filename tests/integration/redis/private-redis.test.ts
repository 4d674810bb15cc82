import { statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openConnection } from '../../../src/redis/connection.ts';
import type { RedisServerBinary } from '../../../src/redis/private/find-server.ts';
import {
  type PrivateRedis,
  type PrivateRedisOptions,
  startPrivateRedis,
} from '../../../src/redis/private/private-server.ts';
import { eventually } from '../../helpers/eventually.ts';
import { commandLine, isAlive } from '../../helpers/proc.ts';
import { findTestServer } from '../../helpers/redis-private.ts';
import { removeDir, tempDir } from '../../helpers/temp.ts';

const PATIENCE = { timeoutMs: 40_000 };

let binary: RedisServerBinary;

beforeAll(async () => {
  binary = await findTestServer();
});

async function start(dir: string, options: Partial<PrivateRedisOptions> = {}): Promise<PrivateRedis> {
  const channels = { requestChannel: 'claude:cli:requests', responseChannel: 'claude:cli:responses' };
  const server = await startPrivateRedis({ dir, binary, ...channels, ...options });
  onTestFinished(() => server.stop());
  return server;
}

function client(url: string): Redis {
  const redis = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  onTestFinished(() => redis.disconnect());
  return redis;
}

describe('the server', () => {
  test('keeps acknowledged data and its port over a restart', async () => {
    const dir = tempDir();
    const first = await start(dir);
    await client(first.url).set('kept', 'yes');
    await first.stop();

    const second = await start(dir);

    expect(second.url).toBe(first.url);
    expect(second.pid).not.toBe(first.pid);
    expect(await client(second.url).get('kept')).toBe('yes');
  });

  test('keeps what scripts and transactions wrote, over a restart and over its own death', async () => {
    const dir = tempDir();
    const first = await start(dir);
    const redis = client(first.url);
    // Two writes in one script, as in one transaction: its file holds them between MULTI and EXEC.
    await redis.eval(
      'redis.call("SET", KEYS[1], "a") redis.call("SET", KEYS[2], "b")',
      2,
      'script:1',
      'script:2',
    );
    await redis.multi().set('multi:1', 'c').set('multi:2', 'd').exec();
    const kept = (url: string) => client(url).mget('script:1', 'script:2', 'multi:1', 'multi:2');

    const killed = first.pid;
    process.kill(killed, 'SIGKILL');
    await eventually(() => first.pid !== killed);
    expect(await kept(first.url)).toEqual(['a', 'b', 'c', 'd']);
    await first.stop();

    expect(await kept((await start(dir)).url)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('answers on a socket too, in a folder of any name, and after its own death', async () => {
    const dir = join(tempDir(), 'a folder: 50 % "quoted"');
    const server = await start(dir);
    const url = server.socketUrl ?? '';
    const redis = openConnection(url, 'patient', 'test', pino({ enabled: false }));
    onTestFinished(() => redis.disconnect());
    await redis.set('kept', 'by socket');
    expect(await client(server.url).get('kept')).toBe('by socket');
    expect(statSync(join(dir, 'redis.sock')).mode & 0o777).toBe(0o700);

    const killed = server.pid;
    process.kill(killed, 'SIGKILL');
    await eventually(() => server.pid !== killed);
    expect(await redis.get('kept')).toBe('by socket');
  });

  test('gives a client without the password no more rights on its socket than by TCP', async () => {
    const dir = tempDir();
    await start(dir);
    const redis = new Redis({ path: join(dir, 'redis.sock'), retryStrategy: () => null });
    onTestFinished(() => redis.disconnect());
    await expect(redis.get('kept')).rejects.toThrow('NOPERM');
    expect(await redis.ping()).toBe('PONG');
  });

  test('takes another port when its own is in use', async () => {
    const first = await start(tempDir());
    const dir = tempDir();
    await writeFile(join(dir, 'port'), `${first.port}\n`);

    const second = await start(dir);

    expect(second.port).not.toBe(first.port);
  });

  test('syncs every write and evicts nothing', async () => {
    const redis = client((await start(tempDir())).url);

    const settings = await redis.config(
      'GET',
      'appendonly',
      'appendfsync',
      'maxmemory-policy',
      'save',
      'bind',
    );

    expect(asRecord(settings)).toEqual({
      appendonly: 'yes',
      appendfsync: 'always',
      'maxmemory-policy': 'noeviction',
      save: '',
      bind: '127.0.0.1',
    });
  });

  test('keeps its folder and its password to the owner', async () => {
    const dir = join(tempDir(), 'redis');
    const { pid, url } = await start(dir);
    const modeOf = (name: string) => (statSync(join(dir, name)).mode & 0o777).toString(8);

    expect([modeOf('.'), modeOf('data')]).toEqual(['700', '700']);
    const files = ['password', 'users.acl', 'redis.conf', 'port', 'redis.pid', 'redis.log'];
    expect(files.map(modeOf)).toEqual(files.map(() => '600'));

    const password = new URL(url).password;
    expect(await readFile(join(dir, 'password'), 'utf8')).toBe(`${password}\n`);
    expect(commandLine(pid)).not.toContain(password);
    expect(await readFile(join(dir, 'redis.conf'), 'utf8')).not.toContain(password);
    expect(await readFile(join(dir, 'users.acl'), 'utf8')).not.toContain(password);
  });

  test('says what its log said when it cannot start', async () => {
    const dir = tempDir();
    const { stop } = await start(dir);
    await stop();
    await writeFile(join(dir, 'data', 'appendonlydir', 'appendonly.aof.manifest'), 'nonsense\n');

    await expect(start(dir)).rejects.toMatchObject({
      code: 'redis.unavailable',
      message: expect.stringMatching(/redis\.log\) ends with:\n(.|\n)*manifest/),
    });
  });

  test('starts although a crash cut the end of its file', async () => {
    const dir = tempDir();
    const first = await start(dir);
    const redis = client(first.url);
    await redis.set('whole', '1');
    await first.stop();
    const aof = join(dir, 'data', 'appendonlydir', 'appendonly.aof.1.incr.aof');
    await writeFile(aof, '*3\r\n$3\r\nSET\r\n$3\r\ncut', { flag: 'a' });

    const second = await start(dir);

    expect(await client(second.url).keys('*')).toEqual(['whole']);
  });
});

describe('the folder', () => {
  test('belongs to one living process', async () => {
    const dir = tempDir();
    const first = await start(dir);

    await expect(start(dir)).rejects.toMatchObject({ code: 'config.locked' });

    expect(await client(first.url).ping()).toBe('PONG');
  });

  test('goes to one of two that start at once', async () => {
    const dir = tempDir();

    const results = await Promise.allSettled([start(dir), start(dir)]);

    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('is free again after stop, which may be called twice', async () => {
    const dir = tempDir();
    const first = await start(dir);
    await Promise.all([first.stop(), first.stop()]);
    expect(isAlive(first.pid)).toBe(false);

    await start(dir);
  });
});

describe('a crash', () => {
  test('is answered with a restart on the same port with the same data', async () => {
    const server = await start(tempDir());
    const redis = client(server.url);
    await redis.set('kept', 'yes');
    const crashed = server.pid;

    process.kill(crashed, 'SIGKILL');

    expect(await eventually(() => server.pid !== crashed && server.pid)).not.toBe(crashed);
    expect(await redis.get('kept')).toBe('yes');
    expect(server.problem()).toBeNull();
  });

  test('is answered with a restart also when its data is gone and another program has the port', async () => {
    const dir = tempDir();
    const server = await start(dir, { findBinary: async () => binary });
    const redis = openConnection(server.socketUrl ?? '', 'patient', 'test', pino({ enabled: false }));
    onTestFinished(() => redis.disconnect());
    const { port } = server;
    const crashed = server.pid;
    process.kill(crashed, 'SIGSTOP');
    removeDir(join(dir, 'data'));
    process.kill(crashed, 'SIGKILL');
    const other = createServer();
    onTestFinished(() => void other.close());
    other.on('error', () => other.listen(port, '127.0.0.1')).listen(port, '127.0.0.1'); // until the dead one has left

    await eventually(() => server.pid !== crashed, PATIENCE);

    expect(server.port).not.toBe(port);
    expect(await redis.ping()).toBe('PONG');
  });

  test('during which stop is called leaves nothing behind', async () => {
    const server = await start(tempDir());
    process.kill(server.pid, 'SIGKILL');
    await eventually(() => !isAlive(server.pid));

    await server.stop();

    expect(isAlive(server.pid)).toBe(false);
  });
});

/** CONFIG GET answers a map in RESP3 and a flat list in RESP2. */
function asRecord(answer: unknown): Record<string, unknown> {
  if (!Array.isArray(answer)) return { ...Object(answer) };
  return Object.fromEntries(
    Array.from({ length: answer.length / 2 }, (_, index) => [answer[index * 2], answer[index * 2 + 1]]),
  );
}
