/** An executor in this process, whose clock the test moves. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { loadSettings } from '../../../src/config/load.ts';
import { startExecutorApp } from '../../../src/executor-app.ts';
import { createLogger } from '../../../src/logger.ts';
import { RENEW_WITHIN_MS } from '../../../src/protocol/executor-service.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { createExecutorClient } from '../../../src/remote/client.ts';
import { pause } from '../../../src/timing.ts';
import { eventually } from '../../helpers/eventually.ts';
import { EXECUTOR_SECRET } from '../../helpers/executor-program.ts';
import { installFakeCli } from '../../helpers/fake-cli.ts';
import { isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';
import { endOf, startedPid, submission } from './submissions.ts';

const LEASE_MS = 300;

async function startWithClock() {
  const dir = tempDir();
  const workspace = join(dir, 'workspace');
  for (const folder of [workspace, join(dir, 'home')]) mkdirSync(folder);
  const env = {
    PATH: `${join(dir, 'bin')}:${process.env['PATH']}`,
    HOME: join(dir, 'home'),
    BULLPEN_HOME: join(dir, 'data'),
    BULLPEN_CWD: workspace,
    BULLPEN_CONCURRENCY: '1',
    BULLPEN_WARM_PROCESSES: '0',
    BULLPEN_LEASE_MS: String(LEASE_MS),
    BULLPEN_KILL_GRACE_MS: '100',
    CLAUDE_SERVICE_PORT: '0',
    CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET,
  };
  await installFakeCli(join(dir, 'bin'));
  let ahead = 0;
  const app = await startExecutorApp({
    ...{ settings: loadSettings(env, workspace, 'executor'), env, version: '1', redactor: createRedactor() },
    logger: createLogger('silent', { write: () => undefined }),
    now: () => performance.now() + ahead,
  });
  const client = createExecutorClient({ url: app.url, secret: EXECUTOR_SECRET, timeoutMs: 20_000 });
  onTestFinished(async () => {
    client.close();
    app.hurry();
    await app.stop();
  });
  const advance = (ms: number): void => {
    ahead += ms;
  };
  return { client, workspace, advance };
}

it('an execution that no server asks for is ended, also one that waits', async () => {
  const executor = await startWithClock();
  const runs = submission(executor, { steps: [{ hang: true }] });
  const waits = submission(executor);
  await executor.client.submit(runs);
  const pid = await startedPid(executor, runs.id);
  await executor.client.submit(waits);
  executor.advance(RENEW_WITHIN_MS - 10_000);
  // What is asked for goes on, and counts from then.
  for (const one of [runs, waits]) await executor.client.submit(one);
  executor.advance(RENEW_WITHIN_MS - 10_000);
  const { executions } = await executor.client.known();
  expect(executions.map(({ state }) => state)).toEqual(['running', 'waiting']);

  executor.advance(20_000);
  await eventually(async () => {
    const known = await executor.client.known();
    expect(known.executions.map(({ state }) => state)).toEqual(['ended', 'ended']);
  });
  expect(isAlive(pid)).toBe(false);
  for (const { id } of [runs, waits]) {
    const { outcome } = await endOf(executor, id);
    expect(outcome.error).toMatchObject({
      ...{ code: 'execution.lost', message: expect.stringContaining('no server has asked') },
    });
  }
});

it('an execution that is followed is not ended, however long its stream is silent', async () => {
  const executor = await startWithClock();
  const asked = submission(executor, { steps: [{ hang: true }] });
  await executor.client.submit(asked);
  await startedPid(executor, asked.id);
  const end = endOf(executor, asked.id);
  executor.advance(10 * RENEW_WITHIN_MS);
  await pause((4 * LEASE_MS) / 3, AbortSignal.timeout(10_000)); // it looks every third of a lease
  expect((await executor.client.known()).executions[0]?.state).toBe('running');
  await executor.client.cancel(asked.id, { reason: 'cancelled', force: true });
  expect((await end).outcome.error?.code).toBe('execution.cancelled');
});
