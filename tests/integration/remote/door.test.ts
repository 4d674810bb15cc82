/** The door of a real executor, for clients that are not Bullpen's own. */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { signRequest } from '../../../src/auth/request-signature.ts';
import {
  EXECUTOR_SECRET,
  type ExecutorProgram,
  launchExecutor,
  startExecutor,
} from '../../helpers/executor-program.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { sharedFromStart } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';

const CLIENT = fileURLToPath(new URL('../../fixtures/original-client.mjs', import.meta.url));

/** Runs the client of the original system in a process of its own. */
async function originalClient(
  { url }: Pick<ExecutorProgram, 'url'>,
  args: readonly string[],
  secret = EXECUTOR_SECRET,
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const env = { PATH: process.env['PATH'] ?? '', CLAUDE_SERVICE_URL: url, CLAUDE_SERVICE_SECRET: secret };
  const { stdout } = await promisify(execFile)(process.execPath, [CLIENT, ...args], { env, timeout: 60_000 });
  return JSON.parse(stdout);
}

/** A request to `POST /execute`, signed once. */
function signedExecute(body: string) {
  const timestamp = String(Date.now());
  return {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'x-claude-timestamp': timestamp,
      'x-claude-signature': createHmac('sha256', EXECUTOR_SECRET)
        .update(`${timestamp}:${body}`)
        .digest('hex'),
    },
  };
}

/** More than the tests before that of the limit make; less than the default. */
const PER_MINUTE = 40;
const NEXT_SECRET = 'the next secret of more than 32 bytes in this test';

/** For tests in their order: the first one counts all prompts, that of the limit is the last. */
const shared = sharedFromStart(() =>
  startExecutor({
    env: {
      CLAUDE_SERVICE_SECRET: `${NEXT_SECRET},${EXECUTOR_SECRET}`,
      CLAUDE_SERVICE_REQUESTS_PER_MINUTE: String(PER_MINUTE),
      CLAUDE_SERVICE_EXEMPT: '192.0.2.1',
    },
  }),
);

describe('a client of the original system', () => {
  it('runs prompts, reads health and metrics, and gets errors in its own form', async () => {
    const executor = shared();
    const execute = (options: object, ...more: string[]) =>
      originalClient(executor, ['execute', JSON.stringify(options), ...more]);
    const prompt = 'Hällo 👋';

    expect(await originalClient(executor, ['health'])).toMatchObject({
      status: 200,
      body: { status: 'healthy', claudeAvailable: true },
    });
    const cwd = executor.workspace;
    const timeout = 60_000;
    const answer = await execute({ prompt, args: ['--print'], cwd, timeout });
    expect(answer).toEqual({
      status: 200,
      body: { success: true, result: `fake: ${prompt}`, executionTime: expect.any(Number) },
    });
    const json = await execute({ prompt, args: ['-p', '--output-format', 'json'] }, 'nonce');
    expect(JSON.parse(String(json.body['result']))).toMatchObject({
      type: 'result',
      result: `fake: ${prompt}`,
    });

    const refused = await execute({ prompt, args: ['--mcp-config', 'x.json'] });
    expect(refused).toMatchObject({ status: 400, body: { success: false, code: 'request.invalid' } });
    const outside = await execute({ prompt, cwd: '/etc' });
    expect(outside).toMatchObject({ status: 400, body: { success: false, code: 'cwd.not_allowed' } });
    const slow = await execute({ prompt: fakePrompt([{ hang: true }]), timeout: 1000 });
    expect(slow).toMatchObject({ status: 504, body: { success: false, code: 'execution.timed_out' } });
    const stranger = await originalClient(executor, ['execute', JSON.stringify({ prompt })], 'x'.repeat(32));
    expect(stranger).toEqual({
      status: 401,
      body: { success: false, code: 'signature.invalid', error: expect.any(String) },
    });

    expect(await originalClient(executor, ['metrics'])).toEqual({
      status: 200,
      body: {
        ...{ totalRequests: 3, successfulRequests: 2, failedRequests: 1, activeRequests: 0 },
        averageExecutionTime: expect.any(Number),
      },
    });
    const text = await (await fetch(`${executor.url}/metrics`)).text();
    expect(text).toContain('bullpen_executor_requests_total{result="succeeded"} 2');
    expect(text).toContain('bullpen_executor_refused_signatures_total{code="signature.invalid"} 1');
    expect(executor.log()).not.toContain(EXECUTOR_SECRET);
  }, 120_000); // eight processes, one after the other
});

it('a signature by either secret counts while the secret is changed', async () => {
  const execute = (secret: string) => originalClient(shared(), ['execute', '{"prompt":"Hello"}'], secret);
  for (const secret of [NEXT_SECRET, EXECUTOR_SECRET])
    expect(await execute(secret)).toMatchObject({ status: 200 });
  expect(await execute('no')).toMatchObject({ status: 401 });
});

it('health with a test runs a prompt, for those who can sign', async () => {
  const executor = shared();
  const prompts = () => executor.journal().filter(({ event }) => event === 'prompt').length;
  const before = prompts();
  expect((await fetch(`${executor.url}/health?test=true`)).status).toBe(401);
  expect(prompts()).toBe(before);

  const path = '/health?test=true';
  const headers = signRequest({
    ...{ secret: EXECUTOR_SECRET, method: 'GET', pathAndQuery: path, body: Buffer.alloc(0) },
    ...{ now: Date.now(), nonce: 'one' },
  });
  const answer = await fetch(executor.url + path, { headers });
  expect([answer.status, await answer.json()]).toMatchObject([
    200,
    { testResponse: expect.stringContaining('OK') },
  ]);
});

it('an address makes as many requests as the settings allow; health does not count', async () => {
  const statusOf = async (path: string) => (await fetch(shared().url + path)).status;
  let allowed = 0;
  // Twice as many: a new minute may begin between them.
  while (allowed < 2 * PER_MINUTE && (await statusOf('/metrics')) === 200) allowed += 1;
  for (const path of ['/metrics', '/v1/executions', '/x']) expect(await statusOf(path)).toBe(429);
  expect(await statusOf('/health')).toBe(200);
});

describe('a signature', () => {
  it('is accepted once, also after kill -9 and a restart', async () => {
    const dir = tempDir();
    const first = await launchExecutor({ dir });
    const request = signedExecute(JSON.stringify({ prompt: 'Hello' }));
    const ask = async ({ url }: ExecutorProgram) => {
      const answer = await fetch(`${url}/execute`, request);
      return [answer.status, ((await answer.json()) as { code?: string }).code]; // as: its documented form
    };
    try {
      expect(await ask(first)).toEqual([200, undefined]);
      expect(await ask(first)).toEqual([401, 'signature.replayed']);
    } finally {
      await first.kill('SIGKILL');
    }
    const second = await launchExecutor({ dir });
    try {
      expect(await ask(second)).toEqual([401, 'signature.replayed']);
      expect(second.journal().filter(({ event }) => event === 'prompt')).toHaveLength(1);
    } finally {
      await second.stop();
    }
  });
});
