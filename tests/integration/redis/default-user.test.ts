import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { RedisServerBinary } from '../../../src/redis/private/find-server.ts';
import { type PrivateRedis, startPrivateRedis } from '../../../src/redis/private/private-server.ts';
import { eventually } from '../../helpers/eventually.ts';
import { findRedisCli, findTestServer, runRedisCli } from '../../helpers/redis-private.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';

const requestChannel = 'claude:cli:requests';
const responseChannel = 'claude:cli:responses';
const dir = makeTempDir();
let binary: RedisServerBinary;
let server: PrivateRedis;

beforeAll(async () => {
  binary = await findTestServer();
  server = await startPrivateRedis({ dir, binary, requestChannel, responseChannel });
});

afterAll(async () => {
  await server.stop();
  removeDir(dir);
});

function connect(url: string): Redis {
  // The ready check asks INFO, which a user without a password may not.
  const redis = new Redis(url, { enableReadyCheck: false, disableClientInfo: true });
  onTestFinished(() => redis.disconnect());
  return redis;
}

const anonymous = () => connect(`redis://127.0.0.1:${server.port}`);

describe('a client without a password', () => {
  test('may ping', async () => {
    expect(await anonymous().ping()).toBe('PONG');
  });

  test.each([requestChannel, responseChannel])('may publish and listen on %s', async (channel) => {
    const messages: string[] = [];
    const listener = anonymous();
    listener.on('message', (_channel, message) => messages.push(message));
    await listener.subscribe(channel);

    expect(await anonymous().publish(channel, 'hello')).toBe(1);

    await eventually(() => messages.length === 1);
    expect(messages).toEqual(['hello']);
    await listener.unsubscribe(channel);
  });

  test.each([
    'GET key',
    'SET key value',
    'KEYS *',
    'SCAN 0',
    'CONFIG GET *',
    'EVAL return 0',
    'INFO',
    'CLIENT LIST',
    'ACL LIST',
    'MONITOR',
    'FLUSHALL',
    'SHUTDOWN NOSAVE',
    `PSUBSCRIBE ${requestChannel}`,
    'PSUBSCRIBE *',
    'PUBSUB CHANNELS',
    'SUBSCRIBE bull:events',
    'PUBLISH bull:events x',
    'MULTI',
    'REPLICAOF 127.0.0.1 1',
  ])('may not %s', async (line) => {
    const [command = '', ...args] = line.split(' ');
    await expect(anonymous().call(command, ...args)).rejects.toThrow(/^NOPERM/);
  });

  test('cannot become the named user with a wrong password', async () => {
    await expect(anonymous().call('AUTH', 'bullpen', 'wrong')).rejects.toThrow(/^WRONGPASS/);
  });
});

describe('redis-cli without a password', () => {
  test('publishes to the subscribers', async () => {
    const messages: string[] = [];
    const listener = connect(server.url);
    listener.on('message', (_channel, message) => messages.push(message));
    await listener.subscribe(requestChannel);
    const request = '{"id":"test","prompt":"Hello","args":["--print"]}';

    const printed = await runRedisCli(binary, [
      '-p',
      String(server.port),
      'PUBLISH',
      requestChannel,
      request,
    ]);

    expect(printed).toBe('1');
    await eventually(() => messages.length === 1);
    expect(messages).toEqual([request]);
  });

  test('prints what is published on an allowed channel', async () => {
    const { command, env } = findRedisCli(binary);
    const cli = spawn(command, ['-p', String(server.port), 'SUBSCRIBE', responseChannel], { env });
    onTestFinished(() => {
      cli.kill();
    });
    const lines: string[] = [];
    createInterface({ input: cli.stdout }).on('line', (line) => lines.push(line));
    await eventually(() => lines.length === 3);

    await connect(server.url).publish(responseChannel, 'answer');

    await eventually(() => lines.length === 6);
    expect(lines).toEqual(['subscribe', responseChannel, '1', 'message', responseChannel, 'answer']);
  });
});

describe('the named user', () => {
  test('may do everything', async () => {
    const redis = connect(server.url);

    expect(await redis.set('key', 'value')).toBe('OK');
    expect(await redis.eval('return redis.call("GET", KEYS[1])', 1, 'key')).toBe('value');
    expect(await redis.psubscribe('*')).toBe(1);
  });
});
