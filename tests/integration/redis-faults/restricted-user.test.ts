import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer } from '../../helpers/server.ts';
import { accepted, breakableRedis, fakeClis } from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const WORD = 'word-of-these-tests';
/** The rule of docs/operations.md, word by word except for the password, which stops a start. */
const DOCUMENTED =
  /^ACL SETUSER bullpen on (.*)$/m
    .exec(readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8'))?.[1]
    ?.replace('PASSWORD', WORD) ?? '';

/** A Redis with the documented user, and the URL of that user. */
async function restrictedRedis(rules: string) {
  const redis = await breakableRedis();
  await redis.admin.call('ACL', 'SETUSER', 'bullpen', 'on', ...rules.split(' '));
  const url = `redis://bullpen:${WORD}@127.0.0.1:${redis.port}`;
  const denied = async () => (await redis.admin.call('ACL', 'LOG')) as unknown[];
  return { redis, url, denied };
}

describe('the Redis user that the documentation names', () => {
  // Under the names of the documentation: redis/worker-user.test.ts.
  it('may do all that a server does, for a prefix and channels of one’s own', async () => {
    const [prefix, channels] = ['my-jobs', 'own'];
    const rules = DOCUMENTED.replaceAll('bullpen', prefix).replaceAll('claude:cli', channels);
    const { redis, url, denied } = await restrictedRedis(rules);
    const clis = await fakeClis();
    const server = await startServer({
      config: clis.config,
      env: {
        REDIS_URL: url,
        BULLPEN_PREFIX: prefix,
        BULLPEN_REQUEST_CHANNEL: `${channels}:requests`,
        BULLPEN_RESPONSE_CHANNEL: `${channels}:responses`,
        BULLPEN_RAW_REQUESTS: 'on',
        BULLPEN_PROVIDER: 'echo',
        BULLPEN_SWEEP_MS: '50',
      },
    });
    const listener = new Redis(url);
    onTestFinished(() => listener.disconnect());
    const raw = Promise.withResolvers<string>();
    listener.on('message', (_channel, text: string) => text.includes('"success"') && raw.resolve(text));
    await listener.subscribe(`${channels}:responses`);

    expect(await server.run({ prompt: 'ran' })).toMatchObject({
      status: 'succeeded',
      outcome: { text: 'ran' },
    });
    const id = await accepted(server, { prompt: 'x', delayMs: 3_600_000, ttlMs: 1000, concurrencyKey: 'k' });
    expect((await server.api('POST', `/v1/jobs/${id}/cancel`, {})).status).toBe(202);
    expect((await server.api('POST', `/v1/jobs/${id}/retry`, {})).status).toBe(202);
    const batch = { prompts: [{ prompt: 'a' }, { prompt: 'b', ttlMs: 1 }] };
    expect((await server.api('POST', '/v1/batches', batch, { 'idempotency-key': 'k' })).status).toBe(202);
    await redis.admin.publish(`${channels}:requests`, JSON.stringify({ id: 'r', prompt: 'raw' }));
    expect(JSON.parse(await raw.promise)).toMatchObject({ id: 'r', success: true, result: 'raw' });
    const path = '/admin/queues/api/queues?activeQueue=prompts&status=completed&page=1';
    expect((await server.api('GET', path)).status).toBe(200);
    expect((await server.api('DELETE', `/v1/jobs/${id}`)).status).toBe(204);
    for (const route of ['/v1/jobs', '/v1/usage', '/metrics', '/ready'])
      expect((await server.api('GET', route)).status, route).toBe(200);
    await server.stop();
    expect(await denied()).toEqual([]);
  });

  it('is refused in words while a right or the password is missing, and no job fails for it', async () => {
    const { redis, url } = await restrictedRedis(DOCUMENTED);
    const clis = await fakeClis();
    const server = await startServer({
      config: clis.config,
      env: { REDIS_URL: url, BULLPEN_PROVIDER: 'echo' },
    });
    const { id } = await server.run({ prompt: 'ran' });
    await redis.admin.call('ACL', 'SETUSER', 'bullpen', '-hgetall', '-hset');
    const read = await server.api('GET', `/v1/jobs/${id}`);
    expect([read.status, await read.json()]).toMatchObject([
      500,
      { code: 'redis.refused', detail: expect.stringContaining('NOPERM') },
    ]);
    const refused = await server.api('POST', '/v1/jobs', { prompt: 'y' });
    expect([refused.status, await refused.json()]).toMatchObject([500, { code: 'redis.refused' }]);
    expect(server.log()).toMatch(/"level":50.*NOPERM.*redis refused a command/);
    await redis.admin.call('ACL', 'SETUSER', 'bullpen', '+hgetall', '+hset');
    expect((await server.run({ prompt: 'between' })).status).toBe('succeeded');

    await redis.admin.call('ACL', 'SETUSER', 'bullpen', 'resetpass', '>other');
    await redis.admin.call('CLIENT', 'KILL', 'USER', 'bullpen');
    const list = async () => (await server.api('GET', '/v1/jobs')).json();
    await eventually(async () => expect(await list()).toMatchObject({ code: 'redis.refused' }), PATIENCE);
    const ready = await server.api('GET', '/ready');
    expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining('refused the login')]);
    await redis.admin.call('ACL', 'SETUSER', 'bullpen', 'resetpass', `>${WORD}`);
    await eventually(async () => (await server.api('GET', '/ready')).status === 200, PATIENCE);
    expect((await server.run({ prompt: 'after' })).status).toBe('succeeded');
  });

  it('with another password ends the start at once, with a sentence', async () => {
    const { url } = await restrictedRedis(DOCUMENTED);
    const failure = await startServer({ env: { REDIS_URL: url.replace(WORD, 'wrong-word') } }).then(
      () => 'it started',
      (error: unknown) => String(error),
    );
    expect(failure).toContain('ended with 1');
    // At once: it is not what is said after the time a Redis is waited for.
    expect(failure).toMatch(/bullpen: Redis at 127\.0\.0\.1:\d+ refused the login: WRONGPASS/);
    expect(failure).not.toMatch(/^ +at /m); // words, not a stack
    expect(failure).not.toContain('wrong-word');
  });
});
