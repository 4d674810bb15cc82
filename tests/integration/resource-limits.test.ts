import { expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import type { RunningExecution } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { isAlive } from '../helpers/proc.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/**
 * Programs that take what their name says, for a minute at the most, and one that does nothing of
 * it.
 */
const PROGRAMS: Readonly<Record<string, string>> = {
  memory: 'const held = Buffer.alloc(300_000_000, 1); setTimeout(() => held, 60_000);',
  processes:
    'const { spawn } = require("node:child_process"); for (let i = 0; i < 12; i += 1) spawn("sleep", ["60"], { detached: true });',
  files:
    'const { openSync } = require("node:fs"); for (let i = 0; i < 300; i += 1) openSync("/dev/null"); setTimeout(() => {}, 60_000);',
  cpu: 'const until = Date.now() + 60_000; while (Date.now() < until);',
  quiet: 'setTimeout(() => console.log("done"), 3500);',
};

const custom = Object.fromEntries(
  Object.entries(PROGRAMS).map(([name, code]) => [name, { binary: 'node', args: ['-e', code] }]),
);

const start = (): Promise<TestServer> => startServer({ config: { providers: { custom } } });

it.each([
  ['memory', { memoryBytes: 200_000_000 }, 'memoryBytes'],
  ['processes', { processes: 8 }, 'processes'],
  ['files', { openFiles: 200 }, 'openFiles'],
  ['cpu', { cpuSeconds: 1 }, 'cpuSeconds'],
])(
  'a job that takes too much (%s) ends with the limit named, and the one beside it goes on',
  async (provider, limits, named) => {
    const server = await start();
    const request = {
      prompt: 'x',
      limits: { memoryBytes: 250_000_000, processes: 10, openFiles: 250, cpuSeconds: 20 },
    };
    const beside = server.run({ ...request, provider: 'quiet' }, 30);
    const job: Job = await server.run({ ...request, provider, limits }, 30);
    expect(job).toMatchObject({
      status: 'failed',
      outcome: { error: { code: 'execution.resource_limit', retryable: false } },
    });
    expect(job.outcome?.error?.message).toContain(`${named}; ${Object.values(limits)[0]} are allowed`);
    expect(await beside).toMatchObject({ status: 'succeeded', outcome: { text: 'done' } });
  },
);

it('a job cannot ask for more than the server allows', async () => {
  const server = await start();
  const response = await server.api('POST', '/v1/jobs', { prompt: 'x', limits: { processes: 5000 } });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ errors: [{ path: '/limits/processes' }] });
});

it('what runs is listed with what it uses, and is gone from the list with its end', async () => {
  const server = await start();
  const list = async (): Promise<readonly RunningExecution[]> => {
    const response = await server.api('GET', '/v1/executions');
    return ((await response.json()) as { data: readonly RunningExecution[] }).data; // the documented answer
  };
  const { id } = await server.run({ prompt: 'x', provider: 'quiet' }, 0);
  await eventually(async () => {
    const [one = expect.unreachable()] = await list();
    expect(one).toMatchObject({ jobId: id, provider: 'quiet', attempt: 1, processes: 1 });
    expect(one.memoryBytes).toBeGreaterThan(10_000_000);
    expect(one.openFiles).toBeGreaterThan(3);
    expect(one.ageMs).toBeGreaterThanOrEqual(one.idleMs);
    expect(isAlive(one.pid)).toBe(true);
  });
  await server.finished(id);
  expect(await list()).toEqual([]);
});
