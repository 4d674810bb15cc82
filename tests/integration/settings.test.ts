/** Settings of docs/settings.md that no other test has at work, on one server. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import { eventsOf } from './fault-bench.ts';

const shell = (script: string) => ({ binary: 'sh', args: ['-c', script] });

const busy = (ms: number) => ({
  binary: 'node',
  args: ['-e', `const end = Date.now() + ${ms}; while (Date.now() < end); console.log("done")`],
});

const server = shared(() => {
  const dir = tempDir();
  return startServer({
    dir,
    config: {
      providers: {
        custom: {
          model: { binary: 'echo', args: ['{{model}}'] },
          variables: shell('echo "$PASSED$KEPT_BACK"'),
          silent: shell('sleep 60'),
          long: shell('head -c 5000 /dev/zero | tr "\\0" a'),
          busy: busy(60_000),
          brief: busy(200),
        },
      },
    },
    env: {
      DATABASE_PATH: join(dir, 'jobs.db'),
      BULLPEN_LOG_LEVEL: 'error',
      BULLPEN_MODEL: 'house-model',
      BULLPEN_PASS_ENV: 'PASSED',
      PASSED: 'passed on',
      KEPT_BACK: 'kept back',
      BULLPEN_TIMEOUT_MS: '1500',
      BULLPEN_IDLE_TIMEOUT_MS: '700',
      BULLPEN_MAX_TIMEOUT_MS: '60000',
      BULLPEN_KILL_GRACE_MS: '300',
      BULLPEN_MAX_RESULT_BYTES: '1024',
      BULLPEN_MAX_LINE_BYTES: '2048',
      BULLPEN_BODY_LIMIT_BYTES: '3000',
      BULLPEN_KEEP_IN_REDIS_MS: '5000000',
      BULLPEN_MAX_MEMORY_BYTES: '1000000000',
      BULLPEN_MAX_CPU_SECONDS: '50',
      BULLPEN_MAX_CPU_PERCENT: '15',
      BULLPEN_CPU_WINDOW_MS: '1000',
      BULLPEN_MAX_OPEN_FILES: '500',
      BULLPEN_MAX_PROCESSES: '50',
    },
  });
});

const PATIENT = { timeoutMs: 60_000, idleTimeoutMs: 60_000 };
const run = async (provider: string, limits: object = PATIENT): Promise<Job> =>
  (await server()).run({ provider, prompt: 'x', ...limits });

it('the default model and the variables that a CLI gets are those of the settings', async () => {
  expect(await run('model')).toMatchObject({ outcome: { text: 'house-model' } });
  expect((await run('variables')).outcome?.text).toBe('passed on');
});

it('a job that names no time limits has those of the settings', async () => {
  const [idle, long] = await Promise.all([run('silent', {}), run('silent', { idleTimeoutMs: 60_000 })]);
  expect(idle.outcome?.error).toMatchObject({
    code: 'execution.idle',
    message: expect.stringContaining('700 ms'),
  });
  expect(long.outcome?.error).toMatchObject({
    code: 'execution.timed_out',
    message: expect.stringContaining('1500 ms'),
  });
});

it('a line and a text are cut where the settings say', async () => {
  const job = await run('long');
  expect(job.outcome).toMatchObject({ status: 'succeeded', textTruncated: true, text: 'a'.repeat(1024) });
  expect(await eventsOf(await server(), job.id)).toContainEqual(
    expect.objectContaining({ kind: 'warning', code: 'line_truncated' }),
  );
});

it('a job whose CPU use stays above the limit is stopped, and a short one is not', async () => {
  expect(await run('brief')).toMatchObject({ status: 'succeeded' });
  expect(await run('busy')).toMatchObject({
    status: 'failed',
    outcome: {
      error: {
        code: 'execution.resource_limit',
        message: expect.stringMatching(/% of a CPU for 1000 ms; 15 are allowed/),
      },
    },
  });
});

it('a request cannot pass the limits of the settings', async () => {
  const { api } = await server();
  for (const [field, limits] of [
    ['timeoutMs', { timeoutMs: 60_001 }],
    ['limits/memoryBytes', { limits: { memoryBytes: 1_000_000_001 } }],
    ['limits/cpuSeconds', { limits: { cpuSeconds: 51 } }],
    ['limits/openFiles', { limits: { openFiles: 501 } }],
    ['limits/processes', { limits: { processes: 51 } }],
    ['limits/lineBytes', { limits: { lineBytes: 2049 } }],
  ] as const) {
    const refused = await api('POST', '/v1/jobs', { prompt: 'x', ...limits });
    expect([refused.status, await refused.json()]).toMatchObject([400, { errors: [{ path: `/${field}` }] }]);
  }
  expect((await api('POST', '/v1/jobs', { prompt: 'x'.repeat(3000) })).status).toBe(413);
});

it('a finished job leaves Redis after the time of the settings', async () => {
  const { id } = await run('model');
  const redis = redisOf(await server());
  for (const key of [`{bullpen}:job:${id}`, `{bullpen}:events:${id}`]) {
    const leftMs = await redis.pttl(key);
    expect([leftMs > 4_900_000, leftMs <= 5_000_000]).toEqual([true, true]);
  }
  redis.disconnect();
});

it('only what is at least as grave as the log level is logged', async () => {
  await run('model');
  expect((await server()).log()).not.toMatch(/"level":[1-4]0/);
});

function redisOf({ home, redisPort }: TestServer): Redis {
  const password = readFileSync(join(home, 'redis', 'password'), 'utf8').trim();
  return new Redis({ port: redisPort ?? 0, username: 'bullpen', password });
}

it('DATABASE_PATH is where the ledger is kept', async () => {
  const { dir, home } = await server();
  expect(await run('model')).toMatchObject({ status: 'succeeded' });
  expect(statSync(join(dir, 'jobs.db')).mode & 0o777).toBe(0o600);
  expect(existsSync(join(home, 'ledger.db'))).toBe(false);
});
