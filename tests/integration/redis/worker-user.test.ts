/** The Redis user of the sandboxed workers: enough for their work, and for nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { commandLine, descendants } from '../../helpers/proc.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { accepted, breakableRedis, fakeClis, sandboxesOf } from '../fault-bench.ts';

const WORD = 'word-of-these-tests';
const OPERATIONS = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
const documented = (user: string): readonly string[] =>
  (new RegExp(`^ACL SETUSER ${user} (on .*)$`, 'm').exec(OPERATIONS)?.[1] ?? '')
    .replace('PASSWORD', WORD)
    .split(' ');

/** What a worker process was given. */
function workerUrl({ pid }: TestServer): URL {
  const [sandbox] = sandboxesOf(pid);
  const variables = readFileSync(`/proc/${sandbox}/environ`, 'utf8').split('\0');
  const text = variables.find((one) => one.startsWith('BULLPEN_WORKER='))?.slice('BULLPEN_WORKER='.length);
  return new URL(JSON.parse(text ?? '{}').redisUrl);
}

function connect({ username, password, pathname, port, protocol }: URL): Redis {
  const place = protocol === 'unix:' ? { path: pathname } : { host: '127.0.0.1', port: Number(port) };
  const redis = new Redis({ ...place, username, password, enableReadyCheck: false });
  redis.on('error', () => undefined);
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Work that takes a worker through all that its script does. */
async function workThrough(server: TestServer): Promise<void> {
  const first = await server.run({ prompt: 'ran' });
  expect(first).toMatchObject({ status: 'succeeded', outcome: { text: 'ran' } });
  const lanes = { concurrencyKey: 'k', prompt: 'in turn' };
  const ids = [await accepted(server, lanes), await accepted(server, lanes)];
  ids.push(await accepted(server, { prompt: 'later', delayMs: 300 }));
  const turn = { provider: 'claude', prompt: fakePrompt([], 'answer') };
  const { sessionId } = await server.run(turn);
  for (const delayMs of [300, 600]) ids.push(await accepted(server, { ...turn, sessionId, delayMs }));
  for (const id of ids) expect(await server.finished(id)).toMatchObject({ status: 'succeeded' });
  const id = await accepted(server, { prompt: 'x', delayMs: 3_600_000 });
  expect((await server.api('POST', `/v1/jobs/${id}/cancel`, {})).status).toBe(202);
  expect(await server.finished(id)).toMatchObject({ status: 'cancelled' });
}

async function expectNoMore(redis: Redis): Promise<void> {
  const forbidden = [
    ['KEYS', '*'],
    ['SCAN', '0'],
    ['FLUSHALL'],
    ['CONFIG', 'GET', '*'],
    ['ACL', 'LIST'],
    ['SHUTDOWN'],
    ['SCRIPT', 'FLUSH'],
    ['CLIENT', 'LIST'],
    ['MONITOR'],
    ['HGETALL', '{bullpen}:job:x'],
    ['HSET', '{bullpen}:prompts:meta', 'a', 'b'],
    ['DEL', '{bullpen}:prompts:wait'],
    ['ZADD', '{bullpen}:nodes', '1', 'n'],
    ['ZADD', '{bullpen}:running', '1', 'x'],
    ['HSET', '{bullpen}:idem:x', 'a', 'b'],
    ['PUBLISH', 'elsewhere', 'x'],
    ['SUBSCRIBE', '{bullpen}:prompts:events'],
    ['EVAL', "return redis.call('DEL', '{bullpen}:prompts:wait')", '1', '{bullpen}:'],
    ['EVAL', "return redis.call('HSET', KEYS[1], 'a', 'b')", '1', '{bullpen}:prompts:1'],
  ] as const;
  for (const [command, ...args] of forbidden) {
    await expect(redis.call(command, ...args), `${command} ${args.join(' ')}`).rejects.toThrow(
      /NOPERM|ACL failure|executing the script can't/,
    );
  }
}

it('of the private Redis reaches what a worker needs, with a password that no argument shows', async () => {
  const clis = await fakeClis();
  const server = await startServer({ config: clis.config, env: { BULLPEN_PROVIDER: 'echo' } });
  await workThrough(server);
  const url = workerUrl(server);
  const owner = new Redis({
    port: server.redisPort ?? 0,
    username: 'bullpen',
    password: readFileSync(join(server.home, 'redis/password'), 'utf8').trim(),
  });
  onTestFinished(() => owner.disconnect());
  expect(await owner.call('ACL', 'LOG')).toEqual([]);
  const users = String(await owner.call('CLIENT', 'LIST')).match(/user=bullpen-worker /g) ?? [];
  expect(users.length).toBeGreaterThanOrEqual(2);
  expect(url.username).toBe('bullpen-worker');
  await expectNoMore(connect(url));
  const shown = descendants(server.pid).map(commandLine).join('\n');
  expect(shown).toContain('redis');
  expect(shown).not.toContain(url.password);
  expect(shown).not.toContain(owner.options.password);
});

it('of another Redis does so with the documented rules', async () => {
  const redis = await breakableRedis();
  for (const user of ['bullpen', 'bullpen-worker']) {
    await redis.admin.call('ACL', 'SETUSER', user, ...documented(user));
  }
  const clis = await fakeClis();
  const at = `${WORD}@127.0.0.1:${redis.port}`;
  const server = await startServer({
    config: clis.config,
    env: {
      REDIS_URL: `redis://bullpen:${at}`,
      BULLPEN_WORKER_REDIS_URL: `redis://bullpen-worker:${at}`,
      BULLPEN_PROVIDER: 'echo',
      BULLPEN_RAW_REQUESTS: 'on',
    },
  });
  await workThrough(server);
  const listener = connect(new URL(`redis://bullpen:${at}`));
  let raw = '';
  listener.on('message', (_channel, text: string) => {
    raw += text;
  });
  await listener.subscribe('claude:cli:responses');
  await redis.admin.publish('claude:cli:requests', JSON.stringify({ id: 'r', prompt: 'raw' }));
  await eventually(() => raw.includes('"result":"raw"'));
  expect(await redis.admin.call('ACL', 'LOG')).toEqual([]);
  expect(workerUrl(server).username).toBe('bullpen-worker');
  await expectNoMore(connect(workerUrl(server)));
});
