/** Logins, fallbacks and limits of providers, over HTTP on a whole server. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { Job } from '../../src/protocol/job.ts';
import type { ProviderReport } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt, installFakeCli, journalOf } from '../helpers/fake-cli.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

const PATIENT = { timeoutMs: 30_000 };
const KEY = 'sk-not-a-key';
const REFUSED = fakePrompt([
  { result: { is_error: true, api_error_status: 401, result: 'Invalid API key' } },
]);

async function system(providers: Record<string, unknown>, env: Record<string, string> = {}) {
  const dir = tempDir();
  const journal = join(dir, 'journal');
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const claude = { binary, ...(providers['claude'] as object | undefined) };
  const server = await startServer({
    config: { providers: { ...providers, claude } },
    env: { BULLPEN_SWEEP_MS: '50', BULLPEN_RETRY_BACKOFF_MS: '10', ...env },
  });
  return { dir, server, spawns: () => journalOf(journal, 'start').length };
}

const setUp = shared(() =>
  system(
    {
      claude: { concurrency: 1 },
      gemini: { binary: '/no-such/gemini', fallback: 'echo' },
      custom: { echo: { binary: '/bin/cat' } },
    },
    { BULLPEN_CONCURRENCY: '3', BULLPEN_AUTH_CIRCUIT_MS: '1' },
  ),
);

async function report(server: TestServer, name: string): Promise<ProviderReport> {
  const response = await server.api('GET', '/v1/providers');
  const { data } = (await response.json()) as { data: ProviderReport[] }; // the documented answer
  const found = data.find((one) => one.name === name);
  if (found === undefined) throw new Error(`${name} is not reported`);
  return found;
}

const submit = async (server: TestServer, request: Parameters<TestServer['run']>[0]): Promise<string> =>
  (await server.run(request, 0)).id;

it('a refused key closes its gate, which the report shows; the queue behind it ends without a process each', async () => {
  const { server, spawns } = await system({}, { ANTHROPIC_API_KEY: KEY, BULLPEN_CONCURRENCY: '2' });
  expect(await report(server, 'claude')).toMatchObject({
    available: true,
    version: '9.9.9',
    authenticated: 'unknown',
    why: 'ANTHROPIC_API_KEY is set; the first job shows whether the vendor accepts it',
    credentials: [{ status: 'ok', limitedUntil: null }],
  });
  const ids = await Promise.all(Array.from({ length: 12 }, () => submit(server, { prompt: REFUSED })));
  const jobs: Job[] = await Promise.all(ids.map((id) => server.finished(id)));
  for (const { outcome, attempts } of jobs) {
    expect([outcome?.error?.code, attempts]).toEqual(['auth.required', 1]);
  }
  expect(spawns()).toBeLessThanOrEqual(2);
  const after = await report(server, 'claude');
  expect(after).toMatchObject({
    authenticated: 'no',
    credentials: [{ name: expect.stringMatching(/^claude:key-/), status: 'refused' }],
    todo: expect.stringContaining('/login'),
  });
  expect(Date.parse(after.credentials[0]?.limitedUntil ?? '')).toBeGreaterThan(Date.now());
  expect(server.log() + JSON.stringify([after, jobs])).not.toContain(KEY);
});

it('a gate whose time is over lets a job try, and its success is the proof of the login', async () => {
  const { server } = await setUp();
  await server.run({ prompt: REFUSED });
  expect(await report(server, 'claude')).toMatchObject({ authenticated: 'no' });
  expect(await server.run({ prompt: 'Hi' })).toMatchObject({ status: 'succeeded' });
  expect(await report(server, 'claude')).toMatchObject({
    authenticated: 'yes',
    credentials: [{ status: 'ok', limitedUntil: null }],
    todo: null,
  });
});

it('a CLI that is not installed is replaced by its fallback', async () => {
  const { server } = await setUp();
  expect(await report(server, 'gemini')).toMatchObject({ available: false, fallback: 'echo' });
  const job = await server.run({ prompt: 'Hi', provider: 'gemini' });
  expect(job).toMatchObject({
    status: 'succeeded',
    provider: 'gemini',
    outcome: { provider: 'echo', text: 'Hi' },
  });
  const headers = { accept: 'application/x-ndjson' };
  const events = await (await server.api('GET', `/v1/jobs/${job.id}/events`, undefined, headers)).text();
  expect(events).toContain('"code":"fallback"');
});

it('a provider at its own limit leaves the other slots to others', async () => {
  const { dir, server, spawns } = await setUp();
  const before = spawns();
  const go = join(dir, 'go');
  const prompt = fakePrompt([{ waitFor: go }], 'waits');
  const narrow = [await submit(server, { prompt }), await submit(server, { prompt })];
  expect(await server.run({ prompt: 'Hi', provider: 'echo' })).toMatchObject({ status: 'succeeded' });
  await eventually(() => spawns() === before + 1, PATIENT);
  expect(await report(server, 'claude')).toMatchObject({ running: 1, concurrency: 1 });
  expect(await server.run({ prompt: 'Ho', provider: 'echo' })).toMatchObject({ status: 'succeeded' });
  expect(spawns()).toBe(before + 1);
  writeFileSync(go, '');
  for (const id of narrow) expect(await server.finished(id)).toMatchObject({ status: 'succeeded' });
});

it('a job waits for the end of a usage limit, or fails at once', async () => {
  const { server } = await setUp();
  const resetsAt = Math.ceil(Date.now() / 1000) + 3600;
  const line = JSON.stringify({
    type: 'rate_limit_event',
    rate_limit_info: { status: 'rejected', resetsAt, rateLimitType: 'five_hour' },
  });
  const limited = fakePrompt([
    { line },
    { result: { is_error: true, api_error_status: 429, api_error: 'usage_limit_reached', result: 'no' } },
  ]);
  const id = await submit(server, { prompt: limited });
  await eventually(async () => (await server.job(id)).status === 'scheduled', PATIENT);
  const waiting = await server.job(id);
  expect(waiting).toMatchObject({ waitReason: 'quota', attempts: 1 });
  expect(Date.parse(waiting.scheduledFor ?? '')).toBeGreaterThanOrEqual(resetsAt * 1000);
  expect(await report(server, 'claude')).toMatchObject({
    credentials: [{ status: 'limited', limitedUntil: new Date(resetsAt * 1000).toISOString() }],
  });
  const next = await submit(server, { prompt: 'Hi', provider: 'claude' });
  const failing = await server.run({ prompt: 'Hi', onQuota: 'fail' });
  expect(failing).toMatchObject({
    status: 'failed',
    outcome: { error: { code: 'execution.quota', resetsAt: new Date(resetsAt * 1000).toISOString() } },
  });
  const shown = {
    status: 'scheduled',
    waitReason: 'quota',
    scheduledFor: new Date(resetsAt * 1000).toISOString(),
  };
  expect(await server.job(next)).toMatchObject({ ...shown, attempts: 0 });
  await server.api('POST', `/v1/jobs/${id}/cancel`); // it would meet the limit again
  const resumed = await server.api('POST', '/v1/providers/claude/resume');
  expect(await resumed.json()).toEqual({ opened: 1 });
  expect(await server.finished(next)).toMatchObject({
    status: 'succeeded',
    outcome: { credential: expect.stringMatching(/^claude:login-/) },
  });
  expect((await server.api('POST', '/v1/providers/none/resume')).status).toBe(404);
});
