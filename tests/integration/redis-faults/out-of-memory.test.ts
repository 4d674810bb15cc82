import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';
import {
  accepted,
  type BreakableRedis,
  breakableRedis,
  expectHealthyLog,
  expectOneExecution,
  expectPromptRefusal,
  type FakeClis,
  fakeClis,
  post,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };

const fill = (redis: BreakableRedis) => redis.admin.config('SET', 'maxmemory', '1');
const free = (redis: BreakableRedis) => redis.admin.config('SET', 'maxmemory', '0');

/** A job whose CLI succeeds while Redis takes no writes. */
async function endWithoutMemory(server: TestServer, redis: BreakableRedis, clis: FakeClis): Promise<string> {
  const id = await accepted(server, { prompt: clis.held('gate', 'kept') });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  await fill(redis);
  clis.open('gate');
  await eventually(() => server.log().includes('an outcome waits in the outbox'), PATIENCE);
  return id;
}

describe('a Redis without memory', () => {
  it('accepts no job and loses no outcome, which is delivered when there is memory again', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const server = await startServer({ config: clis.config, env: { REDIS_URL: redis.url } });
    const id = await endWithoutMemory(server, redis, clis);

    const refused = await post(server, '/v1/jobs', { provider: 'echo', prompt: 'refused' });
    expectPromptRefusal(refused);
    expect(refused.body['detail']).toContain('out of memory');
    expect(await server.job(id)).toMatchObject({ status: 'running' });
    expect((await server.api('GET', '/health')).status).toBe(200);
    await free(redis);
    const job = await server.finished(id);

    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'kept' } });
    await expectOneExecution(server, clis, job);
    const next = await server.run({ provider: 'echo', prompt: 'next' });
    expect(next).toMatchObject({ status: 'succeeded', outcome: { text: 'next' } });
    expectHealthyLog(server);
  });

  it('has the outcome delivered by the next start, when the server died before', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const options = { config: clis.config, env: { REDIS_URL: redis.url }, dir: tempDir() };
    const first = await startServer(options);
    const id = await endWithoutMemory(first, redis, clis);

    await first.kill('SIGKILL');
    await free(redis);
    const second = await startServer(options);
    const job = await second.finished(id);

    expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'kept' } });
    await expectOneExecution(second, clis, job);
    expect(second.log()).toMatch(/"recovery":\{[^}]*"redelivered":1/);
  });
});
