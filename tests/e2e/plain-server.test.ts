/**
 * A whole server with short programs as its CLIs: what Bull Board shows, the limits of callers as
 * they meet them (docs/api.md), and jobs that have no token.
 */
import { expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { sharedServer } from '../helpers/server.ts';

const shell = (script: string) => ({ binary: '/bin/sh', args: ['-c', script] });
const shared = sharedServer(() => ({
  config: {
    provider: 'good',
    providers: {
      custom: {
        good: shell('cat > /dev/null; echo fine'),
        bad: shell('cat > /dev/null; exit 3'),
        slow: shell('cat > /dev/null; exec sleep 1000'),
        script: { binary: 'sh', args: ['-s'] },
        shout: { binary: 'tr', args: ['a-z', 'A-Z'] },
        wait: { binary: 'sleep', args: ['1'] },
      },
    },
    projectLimits: { busy: { requestsPerMinute: 5 }, single: { maxRunning: 1 } },
  },
  env: { JWT_SECRET: 'a secret of the tests with 32 bytes or more' },
}));

// The first one: it counts all jobs of the server.
it('a job that did not succeed has failed on the board, at once and for good, and leaves it when it is deleted', async () => {
  const server = shared();
  const board = async (status: string) => {
    const query = `activeQueue=prompts&status=${status}&page=1&jobsPerPage=10`;
    const answer = await server.api('GET', `/admin/queues/api/queues?${query}`);
    const { queues } = (await answer.json()) as { queues: { counts: object; jobs: { id: string }[] }[] }; // Bull Board's
    return queues[0] ?? expect.unreachable('no queue');
  };
  const good = await server.run({ prompt: 'All is well' });
  const bad = await server.run({ prompt: 'Break it', provider: 'bad' });
  const slow = await server.run({ prompt: 'Take your time', provider: 'slow' }, 0);
  await eventually(async () => (await server.job(slow.id)).status === 'running');
  await server.api('POST', `/v1/jobs/${slow.id}/cancel`, { force: true });
  await server.finished(slow.id);

  await eventually(async () => {
    expect((await board('failed')).counts).toMatchObject({ completed: 1, failed: 2, active: 0, delayed: 0 });
  });
  expect((await board('completed')).jobs).toMatchObject([{ id: good.id, name: 'good · All is well' }]);
  const { jobs } = await board('failed');
  expect(jobs).toMatchObject([
    {
      id: slow.id,
      name: 'slow · Take your time',
      failedReason: expect.stringMatching(/^execution\.cancelled: /),
    },
    { id: bad.id, name: 'bad · Break it', failedReason: expect.stringMatching(/^execution\.crashed: /) },
  ]);
  expect(server.log()).not.toContain('failed its delivery');

  for (const { id } of [good, bad]) expect((await server.api('DELETE', `/v1/jobs/${id}`)).status).toBe(204);
  await eventually(async () => {
    expect((await board('failed')).counts).toMatchObject({ completed: 0, failed: 1 });
  });
});

/** Calls of a new key. */
async function caller(key: Record<string, unknown>) {
  const made = await shared().api('POST', '/v1/keys', { name: 'ci', scopes: ['jobs:write'], ...key });
  const { token } = (await made.json()) as { token: string }; // the documented answer
  const authorization = `Bearer ${token}`;
  return (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    shared().api(method, path, body, { authorization, ...headers });
}
const shout = { prompt: 'hello', provider: 'shout' };

it('jobs an hour: a retry and each job of a batch count, a replay and a refused request do not', async () => {
  const call = await caller({ project: 'web', jobsPerHour: 4 });
  const key = { 'idempotency-key': 'once' };
  const first = await call('POST', '/v1/jobs?wait=20', shout, key);
  expect(first.headers.get('ratelimit-remaining')).toBe('3');
  expect((await call('POST', '/v1/jobs', shout, key)).headers.get('idempotent-replayed')).toBe('true');
  expect((await call('POST', '/v1/jobs', { ...shout, provider: 'none' })).status).toBe(400);
  const { id } = (await first.json()) as Job; // the documented answer
  const retried = await call('POST', `/v1/jobs/${id}/retry`, {});
  expect([retried.status, retried.headers.get('ratelimit-remaining')]).toEqual([202, '2']);
  const tooMany = await call('POST', '/v1/batches', { prompts: [shout, shout, shout] });
  expect(await tooMany.json()).toMatchObject({
    ...{ status: 429, code: 'limit.jobs_per_hour' },
    detail: 'this caller may make 4 jobs an hour; 2 of 3 fit now',
  });
  expect(Number(tooMany.headers.get('retry-after'))).toBeGreaterThan(3000);
  expect((await call('POST', '/v1/batches', { prompts: [shout, shout] })).status).toBe(202);
  expect((await call('POST', '/v1/jobs', shout)).status).toBe(429);
  expect(await (await shared().api('GET', '/metrics')).text()).toContain(
    'bullpen_limited_requests_total{limit="jobsPerHour"} 2',
  );
});

it('a job over the limit is refused and leaves nothing behind, the first time and after that', async () => {
  const call = await caller({ project: 'left', jobsPerHour: 1 });
  const statuses: number[] = [];
  for (let i = 0; i < 3; i += 1) statuses.push((await call('POST', '/v1/jobs?wait=20', shout)).status);
  expect(statuses).toEqual([200, 429, 429]);
  const { data } = (await (await call('GET', '/v1/jobs')).json()) as { data: Job[] }; // the documented answer
  expect(data).toHaveLength(1);
});

it('requests a minute are those of all keys of a project', async () => {
  const calls = [
    await caller({ project: 'busy' }),
    await caller({ project: 'busy', requestsPerMinute: 100 }),
  ];
  const answers: number[] = [];
  for (let i = 0; i < 6; i += 1) answers.push((await calls[i % 2]?.('GET', '/v1/jobs'))?.status ?? 0);
  expect(answers).toEqual([200, 200, 200, 200, 200, 429]);
});

it('jobs of a project that may run one at once follow each other, and nothing is left behind', async () => {
  const call = await caller({ project: 'single' });
  const prompts = [1, 2, 3].map((n) => ({ prompt: `${n}`, provider: 'wait' }));
  expect((await call('POST', '/v1/batches', { prompts })).status).toBe(202);
  const jobs = await eventually(
    async () => {
      const { data } = (await (await call('GET', '/v1/jobs')).json()) as { data: Job[] }; // the documented answer
      return data.length === 3 && data.every(({ finished }) => finished) ? data : null;
    },
    { timeoutMs: 60_000 },
  );
  const times = jobs.map(({ startedAt, finishedAt }) =>
    [startedAt, finishedAt].map((at) => Date.parse(at ?? '')),
  );
  for (const [index, [startedAt = 0]] of times.slice(0, 2).entries())
    expect(startedAt).toBeGreaterThanOrEqual(times[index + 1]?.[1] ?? Number.POSITIVE_INFINITY);
});

it('a job has neither the address of its server nor a token, without the setting', async () => {
  const prompt = 'echo "[$BULLPEN_URL$BULLPEN_JOB_TOKEN]"';
  const { outcome } = await shared().run({ prompt, provider: 'script' });
  expect(outcome?.text.trim()).toBe('[]');
});
