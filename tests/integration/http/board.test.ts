import { Queue } from 'bullmq';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestRedis, type TestRedis } from '../../helpers/redis.ts';
import { asAdmin, startHttp } from '../../unit/http/harness.ts';

let redis: TestRedis;
let queue: Queue;
beforeAll(async () => {
  redis = await startTestRedis();
  queue = new Queue('prompts', { connection: { url: redis.url } });
  queue.on('error', () => {});
});
afterAll(async () => {
  await queue.close();
  await redis.stop();
});

test('the board shows queues and jobs, with long data cut, and leaves the queue open', async () => {
  const job = await queue.add('prompt', { text: 'x'.repeat(10_000) });
  {
    await using http = await startHttp({ board: [queue] });
    const get = async (path: string) =>
      (await http.app.inject({ url: `/admin/queues/api/${path}`, headers: asAdmin })).json();
    const { queues } = await get('queues?activeQueue=prompts');
    expect(queues).toMatchObject([{ name: 'prompts', readOnlyMode: true, counts: { waiting: 1 } }]);
    const shown = await get(`queues/prompts/${job.id}`);
    expect(JSON.stringify(shown)).toContain('(10000 characters)');
    expect(JSON.stringify(shown).length).toBeLessThan(5_000);
  }
  expect(await queue.getWaitingCount()).toBe(1);
});

test('the board writes nothing, even past our own refusal', async () => {
  await queue.add('prompt', { text: 'stays' });
  const before = await queue.getJobCounts();
  await using http = await startHttp({ board: [queue] });
  for (const [method, path] of [
    ['PUT', 'prompts/pause'],
    ['PUT', 'prompts/obliterate'],
    ['PUT', 'prompts/empty'],
    ['POST', 'prompts/add'],
  ] as const) {
    const answer = await http.app.inject({
      method,
      url: `/admin/queues/api/queues/${path}`,
      headers: asAdmin,
      payload: {},
    });
    expect(answer.statusCode, path).toBe(405);
  }
  expect(await queue.getJobCounts()).toEqual(before);
  expect(await queue.isPaused()).toBe(false);
});

test('without Redis the board answers soon, with an error', async () => {
  await using http = await startHttp({ board: [queue] });
  const get = () =>
    http.app.inject({ url: '/admin/queues/api/queues?activeQueue=prompts', headers: asAdmin });
  expect((await get()).statusCode).toBe(200);
  await redis.pause();
  const answer = await get();
  await redis.resume();
  expect(answer.statusCode).toBe(503);
});
