/** A usage limit, with the real claude and the offline model: docs/limits.md. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import type { Job } from '../../src/protocol/job.ts';
import { type Execution, sumOfUsage } from '../../src/protocol/outcome.ts';
import type { ProviderReport } from '../../src/protocol/server-info.ts';
import { eventually } from '../helpers/eventually.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { tempDir } from '../helpers/temp.ts';

const PATIENT = { timeoutMs: 60_000 };
const RESETS_IN_S = 20;
const JOBS = 3;

let model: OfflineModel;
beforeAll(async () => {
  model = await startOfflineModel();
});
afterAll(() => model.stop());

const credentialsOf = async (server: TestServer): Promise<ProviderReport['credentials']> => {
  const { data } = (await (await server.api('GET', '/v1/providers')).json()) as { data: ProviderReport[] }; // the documented answer
  return data.find(({ name }) => name === 'claude')?.credentials ?? [];
};

/** Makes a folder whose claude is logged in to a plan, as far as its files say. */
function planLogin(): string {
  const dir = tempDir();
  const home = join(dir, 'home');
  mkdirSync(join(home, '.claude'), { recursive: true });
  const tokens = { accessToken: 'offline', refreshToken: 'offline', expiresAt: Date.now() + 86_400_000 };
  const claudeAiOauth = { ...tokens, scopes: ['user:inference', 'user:profile'], subscriptionType: 'max' };
  writeFileSync(join(home, '.claude/.credentials.json'), JSON.stringify({ claudeAiOauth }));
  const oauthAccount = {
    accountUuid: randomUUID(),
    emailAddress: 'ada@example.com',
    organizationName: 'Ada',
  };
  writeFileSync(join(home, '.claude.json'), JSON.stringify({ oauthAccount }));
  return dir;
}

it('one call is refused, and all jobs go on at the reset, over a restart of the server', async () => {
  const options = {
    dir: planLogin(),
    env: {
      ANTHROPIC_BASE_URL: model.url,
      BULLPEN_CONCURRENCY: '1',
      BULLPEN_SWEEP_MS: '100',
    },
  };
  const asks = () => model.requests.filter(({ lastUserText }) => lastUserText?.startsWith('Job ') === true);
  let server = await startServer(options);
  const limit = `[[error: 429 limit=five_hour resets-in=${RESETS_IN_S} times=1 key=plan]]`;
  const jobs: Job[] = [];
  for (let i = 0; i < JOBS; i += 1)
    jobs.push(await server.run({ prompt: `Job ${i}. ${limit} [[reply: Done.]]` }, 0));
  const ids = jobs.map(({ id }) => id);
  const states = () => Promise.all(ids.map((id) => server.job(id)));

  const refused = await eventually(
    async () =>
      (await states()).find(({ waitReason, attempts }) => waitReason === 'quota' && attempts === 1) ?? null,
    PATIENT,
  );
  const [credential] = await credentialsOf(server);
  const name = expect.stringMatching(/^claude:account-[0-9a-f]{12}$/);
  expect(credential).toMatchObject({ name, status: 'limited' });
  const reset = Date.parse(credential?.limitedUntil ?? '');
  expect(Date.parse(refused.scheduledFor ?? '')).toBeGreaterThanOrEqual(reset);
  expect(refused).toMatchObject({ status: 'scheduled', attempts: 1, outcome: null });
  for (const { status, waitReason } of await states())
    expect([status, waitReason]).toEqual(['scheduled', 'quota']);
  const listed = await server.api('GET', '/v1/jobs?waitReason=quota&status=scheduled');
  const waiting = (await listed.json()) as { data: Job[] }; // the documented answer
  expect(waiting.data).toHaveLength(JOBS);

  await server.stop();
  server = await startServer(options);
  expect(await credentialsOf(server)).toEqual([credential]);
  const finished = await Promise.all(ids.map((id) => server.finished(id)));
  for (const { status, outcome } of finished) {
    expect([status, outcome?.credential]).toEqual(['succeeded', credential?.name]);
  }
  expect(finished.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(JOBS + 1);
  const executions = await server.api('GET', `/v1/jobs/${refused.id}/executions`);
  const { data } = (await executions.json()) as { data: readonly Execution[] }; // the documented answer
  expect(data.map(({ outcome, credential }) => [outcome?.error?.code, credential])).toEqual([
    ['execution.quota', credential?.name],
    [undefined, credential?.name],
  ]);
  const continued = finished.find(({ id }) => id === refused.id);
  expect(continued?.outcome?.usage).toEqual(data.map(({ usage }) => usage).reduce(sumOfUsage));
  const times = asks().map(({ at }) => Date.parse(at));
  expect(times).toHaveLength(JOBS + 1);
  expect(times[1]).toBeGreaterThanOrEqual(reset);
  expect(await credentialsOf(server)).toEqual([{ ...credential, status: 'ok', limitedUntil: null }]);
});

it('the rest of a limit is kept from jobs with a negative priority, until it is released by hand', async () => {
  const server = await startServer({
    dir: planLogin(),
    config: { providers: { claude: { quotaReserve: 0.2 } } },
    env: { ANTHROPIC_BASE_URL: model.url },
  });
  await server.run({ prompt: '[[used: 85% resets-in=3600]] [[reply: Most is used.]]' });
  const low = await server.run({ prompt: 'Low [[reply: low]]', priority: -1 }, 0);
  const next = await server.run({ prompt: 'Next [[reply: next]]' });
  expect(next.status).toBe('succeeded');
  expect(await server.job(low.id)).toMatchObject({ status: 'scheduled', waitReason: 'quota', attempts: 0 });
  expect(await (await server.api('POST', '/v1/providers/claude/resume')).json()).toEqual({ opened: 1 });
  expect((await server.finished(low.id)).status).toBe('succeeded');
});
