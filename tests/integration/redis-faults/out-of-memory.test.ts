import { expect, it } from 'vitest';
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
  waitsInOutbox,
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
  await eventually(() => waitsInOutbox(server, id), PATIENCE);
  return id;
}

it('a Redis without memory accepts no job and loses no outcome, also when the server dies', async () => {
  const redis = await breakableRedis();
  const clis = await fakeClis();
  const options = { config: clis.config, env: { REDIS_URL: redis.url }, dir: tempDir() };
  const first = await startServer(options);
  const id = await endWithoutMemory(first, redis, clis);

  const refused = await post(first, '/v1/jobs', { provider: 'echo', prompt: 'refused' });
  expectPromptRefusal(refused);
  expect(refused.body['detail']).toContain('out of memory');
  expect(await first.job(id)).toMatchObject({ status: 'running' });
  expect((await first.api('GET', '/health')).status).toBe(200);
  await free(redis);
  const job = await first.finished(id);

  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'kept' } });
  await expectOneExecution(first, clis, job);
  const next = await first.run({ provider: 'echo', prompt: 'next' });
  expect(next).toMatchObject({ status: 'succeeded', outcome: { text: 'next' } });
  expectHealthyLog(first);

  const other = await endWithoutMemory(first, redis, clis.fresh());
  await first.kill('SIGKILL');
  await free(redis);
  const second = await startServer(options);
  const late = await second.finished(other);

  expect(late).toMatchObject({ status: 'succeeded', outcome: { text: 'kept' } });
  await expectOneExecution(second, clis, late);
  expect(second.log()).toMatch(/"recovery":\{[^}]*"redelivered":1/);
});
