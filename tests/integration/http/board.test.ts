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

test('the board shows deliveries as the jobs they are for, with their log, and leaves the queue open', async () => {
  {
    await using http = await startHttp({ board: [queue] });
    const { id } = await http.make('Where is the parser?');
    http.events.publish(id, { kind: 'job.queued' });
    http.events.publish(id, { kind: 'tool.started', toolId: 't', name: 'Read', input: { path: 'secret' } });
    http.events.publish(id, { kind: 'text', text: 'secret' });
    await queue.add('prompt', { jobId: id }, { jobId: id });
    const get = async (path: string) =>
      (await http.app.inject({ url: `/admin/queues/api/${path}`, headers: asAdmin })).json();
    const { queues } = await get('queues?activeQueue=prompts');
    expect(queues).toMatchObject([{ name: 'prompts', readOnlyMode: true, counts: { waiting: 1 } }]);
    const job = { id, name: 'claude · Where is the parser?', data: { provider: 'claude' }, isFailed: false };
    expect(queues[0].jobs).toMatchObject([job]);
    expect(await get(`queues/prompts/${id}`)).toMatchObject({ job, status: 'waiting' });
    const log = await get(`queues/prompts/${id}/logs`);
    expect(log).toEqual([
      expect.stringContaining('job.queued'),
      expect.stringContaining('tool.started Read'),
    ]);
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
