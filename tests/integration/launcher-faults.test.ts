import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.ts';
import { commandLine, descendants, isAlive } from '../helpers/proc.ts';
import type { TestServer } from '../helpers/server.ts';
import { accepted, eventsOf, expectOneExecution, isReady, sharedBench, spawnsOf } from './fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const terminals = { enabled: true, commands: { sh: { binary: 'sh', args: [] } } };
const setUp = sharedBench({}, { terminals });

const isLauncher = (pid: number): boolean =>
  isAlive(pid) && commandLine(pid)?.includes('launcher-process') === true;
/** Waits for it: after one has died the next takes a moment. */
const launcherOf = (server: TestServer): Promise<number> =>
  eventually(() => descendants(server.pid).find(isLauncher) ?? null);

it('a launcher that is killed loses what it ran, retryable, and nothing else', async () => {
  const { clis, server } = await setUp();
  const prompt = clis.held('gate', 'one');
  const id = await accepted(server, { prompt, continuePrompt: prompt });
  await eventually(() => clis.prompted() === 1, PATIENCE);
  const [first = 0] = clis.pids();

  process.kill(await launcherOf(server), 'SIGKILL');

  await eventually(() => clis.prompted() === 2, PATIENCE);
  expect(isAlive(first)).toBe(false);
  clis.open('gate');
  const job = await server.finished(id);
  expect(job).toMatchObject({ status: 'succeeded', attempts: 2, outcome: { text: 'one' } });
  const ends = (await eventsOf(server, id)).filter(({ kind }) => kind === 'execution.finished');
  const lost = { status: 'failed', error: { code: 'execution.lost', retryable: true } };
  expect(ends[0]).toMatchObject({ outcome: lost });
});

it('a launcher that hangs or dies costs a job that was not started nothing but time', async () => {
  const { clis, server } = await setUp();
  await server.run({ provider: 'echo', prompt: 'before' });
  const cwd = join(server.workspace, 'unknown'); // what git says there is asked first
  mkdirSync(cwd);
  const hung = await launcherOf(server);
  process.kill(hung, 'SIGSTOP');
  const [late, cancelled, patient] = await Promise.all([
    accepted(server, { cwd, provider: 'echo', prompt: 'late', timeoutMs: 1000 }),
    accepted(server, { cwd, provider: 'echo', prompt: 'cancelled' }),
    accepted(server, { cwd, provider: 'echo', prompt: 'patient' }),
  ]);
  await eventually(async () => (await server.job(cancelled)).status === 'running', PATIENCE);

  await server.api('POST', `/v1/jobs/${cancelled}/cancel`, { force: true });

  expect(await server.finished(cancelled)).toMatchObject({ status: 'cancelled' });
  expect(await server.finished(late)).toMatchObject({
    outcome: { error: { code: 'execution.timed_out' } },
  });
  await eventually(async () => !(await isReady(server)), PATIENCE);
  process.kill(hung, 'SIGKILL');
  const job = await server.finished(patient);
  expect(job).toMatchObject({ status: 'succeeded', outcome: { text: 'patient' } });
  await expectOneExecution(server, clis, job);
  for (const id of [late, cancelled]) expect(spawnsOf(clis, await server.job(id))).toEqual([]);
  await eventually(() => isReady(server), PATIENCE);
});

it('a launcher of terminals that hangs makes the server degraded, and not unready', async () => {
  const { server } = await setUp();
  const readiness = async () => (await server.api('GET', '/ready')).json();
  const well = { ready: true, degraded: false, checks: { terminals: { ok: true, detail: null } } };
  const becomes = (state: object) =>
    eventually(async () => expect(await readiness()).toMatchObject(state), PATIENCE);
  await becomes(well); // its launcher has not been started
  const other = await launcherOf(server);

  expect((await server.api('POST', '/v1/sessions', { kind: 'terminal', command: 'sh' })).status).toBe(201);
  await becomes(well);
  const metrics = await (await server.api('GET', '/metrics')).text();
  expect(metrics).toContain('bullpen_terminals{provider="sh"} 1');
  const hung = descendants(server.pid).find((pid) => pid !== other && isLauncher(pid));
  if (hung === undefined) return expect.unreachable();
  process.kill(hung, 'SIGSTOP');

  const degraded = { ...well, degraded: true, checks: { launcher: { ok: true }, terminals: { ok: false } } };
  await becomes(degraded);
  process.kill(hung, 'SIGKILL'); // processes/launcher.test.ts has the launcher that hangs on
  await becomes(well); // by a new one
});
