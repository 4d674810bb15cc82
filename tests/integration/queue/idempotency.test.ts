import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BatchCreated, Job } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt } from '../../helpers/fake-cli.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import { tempDir } from '../../helpers/temp.ts';
import { fakeClis, sharedBench } from '../fault-bench.ts';

const HOUR_MS = 3_600_000;
const setUp = sharedBench();

interface Answer {
  readonly status: number;
  readonly replayed: boolean;
  readonly body: Job & BatchCreated & { readonly code: string };
}

async function post(server: TestServer, path: string, body: object, key: string): Promise<Answer> {
  const response = await server.api('POST', path, body, { 'idempotency-key': key });
  return {
    status: response.status,
    replayed: response.headers.get('idempotent-replayed') === 'true',
    body: (await response.json()) as Answer['body'], // a job, a batch or a problem
  };
}

const brief = ({ status, replayed, body }: Answer) => ({ status, replayed, id: body.id, items: body.items });

describe('an Idempotency-Key', () => {
  it('answers as before when its checks would fail now, and starts nothing', async () => {
    const clis = await fakeClis();
    const dir = tempDir();
    const env = { BULLPEN_SWEEP_MS: '50', IS_SANDBOX: '1' };
    const first = await startServer({
      dir,
      config: { providers: { ...clis.config.providers, custom: { old: { binary: 'cat' } } } },
      env: { ...env, BULLPEN_ALLOW_FULL_ACCESS: 'true' },
    });
    const cwd = join(first.workspace, 'folder');
    mkdirSync(cwd);
    const ran = await first.run({ prompt: fakePrompt([]) });
    const later = { prompt: 'x', delayMs: HOUR_MS };
    const calls: [path: string, body: object][] = [
      ['/v1/jobs', { ...later, cwd }],
      ['/v1/jobs', { ...later, provider: 'old' }],
      ['/v1/jobs', { ...later, permissionMode: 'fullAccess' }],
      ['/v1/jobs', { ...later, sessionId: ran.outcome?.sessionId }],
      [`/v1/jobs/${ran.id}/retry`, { delayMs: HOUR_MS }],
      [
        '/v1/batches',
        {
          prompts: [
            { ...later, cwd },
            { ...later, provider: 'never was' },
          ],
        },
      ],
    ];
    const before: Answer[] = [];
    for (const [index, call] of calls.entries()) before.push(await post(first, ...call, `k${index}`));
    expect(before.map(({ status }) => status)).toEqual(calls.map(() => 202));
    await first.stop();

    rmSync(cwd, { recursive: true });
    const more = { BULLPEN_MAX_QUEUED: '1', BULLPEN_WARM_PROCESSES: '4' };
    const second = await startServer({ dir, config: clis.config, env: { ...env, ...more } });
    expect((await second.api('DELETE', `/v1/jobs/${ran.id}`)).status).toBe(204);
    // With a new key each time: what was accepted before the queue was counted is replayed.
    let tries = 0;
    await eventually(async () => {
      tries += 1;
      return (await post(second, '/v1/jobs', later, `full${tries}`)).status === 503;
    });
    for (const [index, call] of calls.entries()) {
      const again = await post(second, ...call, `k${index}`);
      expect(brief(again), JSON.stringify(call)).toEqual({
        ...brief(before[index] ?? again),
        replayed: true,
      });
      const [path, body] = call;
      const changed = path === '/v1/batches' ? { prompts: [later] } : { ...body, priority: 3 };
      const other = await post(second, path, changed, `k${index}`);
      expect([other.status, other.body.code]).toEqual([422, 'idempotency.key_reused']);
    }
    expect(clis.spawns()).toHaveLength(1);
  });

  it('whose job was deleted makes a new one, once', async () => {
    const { server } = await setUp();
    const request = { provider: 'echo', prompt: 'again' };
    const first = await post(server, '/v1/jobs', request, 'k');
    await server.finished(first.body.id);
    const retry = await post(server, `/v1/jobs/${first.body.id}/retry`, {}, 'r');
    await server.finished(retry.body.id);
    for (const { body } of [first, retry]) await server.api('DELETE', `/v1/jobs/${body.id}`);

    const same = await Promise.all(Array.from({ length: 8 }, () => post(server, '/v1/jobs', request, 'k')));
    const [made = first, ...others] = same.toSorted((a, b) => Number(a.replayed) - Number(b.replayed));
    expect(made).toMatchObject({ status: 202, replayed: false });
    expect(made.body.id).not.toBe(first.body.id);
    for (const { status, replayed, body } of others)
      expect([status, replayed, body.id]).toEqual([202, true, made.body.id]);
    expect((await server.finished(made.body.id)).outcome?.text).toBe('again');
    // The retried job and the new one are deleted: there is no job to answer with.
    expect((await post(server, `/v1/jobs/${first.body.id}/retry`, {}, 'r')).status).toBe(404);
  });

  it('of a job that runs answers with that job, and refuses another request', async () => {
    const { clis, server } = await setUp();
    const request = { prompt: clis.held('gate', 'done') };
    const { body } = await post(server, '/v1/jobs', request, 'other');
    await eventually(() => clis.prompted() === 1, { timeoutMs: 40_000 });
    const again = await post(server, '/v1/jobs', request, 'other');
    expect([again.replayed, again.body.id, again.body.status]).toEqual([true, body.id, 'running']);
    expect((await post(server, '/v1/jobs', { ...request, priority: 1 }, 'other')).status).toBe(422);
    clis.open('gate');
    expect((await server.finished(body.id)).outcome?.text).toBe('done');
  });

  it('of a refused request is not remembered', async () => {
    const { server } = await setUp();
    const request = { provider: 'echo', prompt: 'x' };
    for (const wrong of [{ prompt: '' }, { provider: 'none' }, { cwd: '/' }, { effort: 'high' }]) {
      const refused = await post(server, '/v1/jobs', { ...request, ...wrong }, 'refused');
      expect([400, 422]).toContain(refused.status);
    }
    expect(await post(server, '/v1/jobs', request, 'refused')).toMatchObject({
      status: 202,
      replayed: false,
    });
  });
});
