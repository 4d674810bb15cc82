/** `bullpen executor` as a program: its start, its health, and prompts of `POST /execute`. */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { EXECUTOR_SECRET, type ExecutorProgram, startExecutor } from '../../helpers/executor-program.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { isAlive } from '../../helpers/proc.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { CACHE_DIR } from '../../helpers/redis-private.ts';
import { sharedFromStart } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';
import { endOf, startedPid, submission } from './submissions.ts';

const run = promisify(execFile);

/** As a client of the original system signs. */
function execute({ url }: ExecutorProgram, body: unknown, signal?: AbortSignal): Promise<Response> {
  const text = JSON.stringify(body);
  const timestamp = String(Date.now());
  const signature = createHmac('sha256', EXECUTOR_SECRET).update(`${timestamp}:${text}`).digest('hex');
  return fetch(`${url}/execute`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-claude-timestamp': timestamp,
      'x-claude-signature': signature,
    },
    body: text,
    ...(signal && { signal }),
  });
}

/** For the tests in their order: the last one spoils its health. */
const shared = sharedFromStart(() => startExecutor({ env: { BULLPEN_KILL_GRACE_MS: '500' } }));

describe('the program', () => {
  const settings = { CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET, CLAUDE_SERVICE_PORT: '0' };

  /** A start that fails. */
  async function failed(env: Readonly<Record<string, string>>, dir = tempDir()) {
    const cwd = join(dir, 'folder');
    mkdirSync(cwd, { recursive: true });
    const started = run(process.execPath, ['--no-warnings', PROGRAM, 'executor'], {
      ...{ cwd, timeout: 60_000 },
      env: {
        PATH: process.env['PATH'],
        HOME: dir,
        BULLPEN_HOME: join(dir, 'data'),
        BULLPEN_CACHE: CACHE_DIR,
        ...env,
      },
    });
    return started.then(
      () => ({ code: 0, stderr: '' }),
      (error: { code: number; stderr: string }) => error,
    );
  }

  it('does not start without a secret, and names the setting', async () => {
    const { code, stderr } = await failed({});
    expect([code, stderr]).toEqual([78, expect.stringContaining('CLAUDE_SERVICE_SECRET')]);
  });

  it('does not start with a weak secret, which it does not quote', async () => {
    const { code, stderr } = await failed({ ...settings, CLAUDE_SERVICE_SECRET: 'change-me' });
    expect([code, stderr]).toEqual([78, expect.stringContaining('CLAUDE_SERVICE_SECRET')]);
    expect(stderr).not.toContain('change-me');
  });

  it('does not start with the data folder or the port of another one', async () => {
    const executor = shared();
    const folder = await failed({ ...settings, BULLPEN_HOME: join(executor.dir, 'data') });
    expect([folder.code, folder.stderr]).toEqual([78, expect.stringContaining('data folder')]);
    const port = await failed({ ...settings, CLAUDE_SERVICE_PORT: new URL(executor.url).port });
    expect([port.code, port.stderr]).toEqual([78, expect.stringContaining('CLAUDE_SERVICE_PORT')]);
  });
});

it('a prompt of POST /execute ends with its caller, and counts as failed', async () => {
  const executor = shared();
  const caller = new AbortController();
  const prompt = fakePrompt([{ hang: true }]);
  const answer = execute(executor, { prompt }, caller.signal).catch(() => null);
  const id = await eventually(async () => {
    const { executions } = await executor.client.known();
    return executions.find(({ state }) => state === 'running')?.id ?? null;
  });
  const pid = await startedPid(executor, id);
  caller.abort();
  await answer;
  await eventually(() => expect(isAlive(pid)).toBe(false));
  expect((await endOf(executor, id)).outcome.error?.code).toBe('execution.cancelled');
  await eventually(async () => {
    const response = await fetch(`${executor.url}/metrics`, { headers: { accept: 'application/json' } });
    expect(await response.json()).toMatchObject({ failedRequests: 1, activeRequests: 0 });
  });
});

describe('the health', () => {
  const healthOf = async ({ url }: ExecutorProgram) => {
    const response = await fetch(`${url}/health`);
    return { status: response.status, body: await response.json() };
  };

  it('is that of the CLI, and spends no prompt', async () => {
    const executor = shared();
    const prompts = () => executor.journal().filter(({ event }) => event === 'prompt').length;
    const before = prompts();
    expect(await healthOf(executor)).toEqual({
      status: 200,
      body: {
        ...{ status: 'healthy', claudeAvailable: true, version: expect.stringMatching(/^\d/) },
        ...{ loggedIn: null, problem: null, activeRequests: 0 },
      },
    });
    expect(prompts()).toBe(before);
  });

  it('says that the login was refused, after an execution has shown it', async () => {
    const executor = shared();
    const result = { is_error: true, result: 'Invalid API key · Please run /login' };
    const asked = submission(executor, { steps: [{ result }] });
    await executor.client.submit(asked);
    expect((await endOf(executor, asked.id)).outcome.error?.code).toBe('auth.required');
    const refused = {
      status: 503,
      body: {
        ...{ status: 'unhealthy', claudeAvailable: true, loggedIn: false },
        problem: expect.stringContaining('the vendor refused the login'),
      },
    };
    // What it has found is kept for ten seconds, and another test has just asked.
    await eventually(async () => expect(await healthOf(executor)).toMatchObject(refused));
  });

  it('says why nothing can run; an execution says it too, and no fallback runs it', async () => {
    const dir = tempDir();
    const missing = join(dir, 'no-claude');
    const executor = await startExecutor({
      ...{ dir, config: { providers: { claude: { binary: missing, fallback: 'codex' } } } },
    });
    expect(await healthOf(executor)).toMatchObject({
      status: 503,
      body: { status: 'unhealthy', claudeAvailable: false, problem: expect.stringContaining(missing) },
    });
    const asked = submission(executor);
    await executor.client.submit(asked);
    const { outcome } = await endOf(executor, asked.id);
    expect(outcome.error?.code).toBe('execution.cli_missing');
    expect(outcome.error?.message).not.toContain('codex');
  });
});

it('the limit of a provider holds, and others do not wait for it', async () => {
  const dir = tempDir();
  const other = join(dir, 'echo-cli');
  writeFileSync(other, '#!/bin/sh\ncat\n');
  chmodSync(other, 0o755);
  const executor = await startExecutor({
    dir,
    config: {
      providers: {
        claude: { binary: join(dir, 'bin', 'claude'), concurrency: 1 },
        custom: { echo: { binary: other } },
      },
    },
  });
  const hangs = [1, 2].map(() => submission(executor, { steps: [{ hang: true }] }));
  const echo = submission(executor, { provider: 'echo', prompt: 'hello' });
  for (const one of [...hangs, echo]) await executor.client.submit(one);
  expect((await endOf(executor, echo.id)).outcome).toMatchObject({ status: 'succeeded' });
  const { executions } = await executor.client.known();
  const stateOf = (id: string | undefined) => executions.find((one) => one.id === id)?.state;
  expect(hangs.map(({ id }) => stateOf(id))).toEqual(['running', 'waiting']);
  for (const { id } of hangs) await executor.client.cancel(id, { reason: 'cancelled', force: true });
});
