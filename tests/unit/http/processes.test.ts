import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const get = async ({ app }: Http, url: string) => (await app.inject({ url, headers: asAdmin })).json();
const post = ({ app }: Http, url: string, payload?: object) =>
  app.inject({ method: 'POST', url, headers: asAdmin, ...(payload && { payload }) });

test('processes are listed, by provider, and read one by one', async () => {
  await using http = await startHttp();
  const running = http.processes.add('claude', (await http.make()).id);
  const idle = http.processes.add('codex', null);
  const dead = { ...http.processes.add('codex', null), alive: false };
  http.processes.listed[2] = dead;
  const list = (query = '') => get(http, `/v1/processes${query}`);
  expect(await list()).toEqual({
    data: [running, idle, dead],
    summary: { total: 3, alive: 2, dead: 1 },
    nextCursor: null,
  });
  expect(await list('?provider=codex')).toMatchObject({
    data: [idle, dead],
    summary: { total: 2, alive: 1, dead: 1 },
  });
  expect(await list('?provider=none')).toMatchObject({ data: [], summary: { total: 0, alive: 0, dead: 0 } });
  expect(await get(http, `/v1/processes/${idle.id}`)).toEqual(idle);
});

test('a process is terminated: its job is cancelled, or it is ended while it is idle', async () => {
  await using http = await startHttp();
  const { id } = await http.make();
  const running = http.processes.add('claude', id);
  const idle = http.processes.add('claude', null);
  const cancelled = await post(http, `/v1/processes/${running.id}/terminate`, { force: true });
  expect([cancelled.statusCode, cancelled.json()]).toEqual([202, running]);
  expect(await http.jobs.get(callerOf('caller'), id)).toMatchObject({
    cancelRequested: true,
    metadata: { force: 'true' },
  });
  const ended = await post(http, `/v1/processes/${idle.id}/terminate`);
  expect([ended.statusCode, ended.json()]).toEqual([202, idle]);
  expect(http.processes.ended).toEqual([{ id: idle.id, force: false }]);

  http.jobs.finish(id);
  const late = await post(http, `/v1/processes/${running.id}/terminate`);
  expect([late.statusCode, late.json().code]).toEqual([409, 'job.already_finished']);
});

test('cleanup ends the idle processes of one provider and counts them', async () => {
  await using http = await startHttp();
  http.processes.add('claude', (await http.make()).id);
  for (const name of ['claude', 'claude', 'codex']) http.processes.add(name, null);
  expect((await post(http, '/v1/providers/claude/cleanup')).json()).toEqual({ ended: 2 });
  expect((await post(http, '/v1/providers/claude/cleanup')).json()).toEqual({ ended: 0 });
  expect(http.processes.listed.map(({ provider, state }) => [provider, state])).toEqual([
    ['claude', 'running'],
    ['codex', 'idle'],
  ]);
});

test('what is not there is 404, an unknown field 400, and a caller who is no admin 403', async () => {
  await using http = await startHttp();
  const idle = http.processes.add('claude', null);
  const missing = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
  for (const id of [missing, 'x', '..%2F', '%00'])
    expect(await get(http, `/v1/processes/${id}`)).toMatchObject({ code: 'process.not_found', status: 404 });
  for (const [url, payload, code] of [
    [`/v1/processes/${missing}/terminate`, {}, 'process.not_found'],
    ['/v1/providers/nothing/cleanup', undefined, 'provider.not_found'],
    [`/v1/processes/${idle.id}/terminate`, { signal: 9 }, 'request.invalid'],
    [`/v1/processes/${idle.id}/terminate?force=true`, {}, 'request.invalid'],
  ] as const) {
    expect((await post(http, url, payload)).json(), url).toMatchObject({ code });
  }
  for (const [method, url] of [
    ['GET', '/v1/processes'],
    ['GET', `/v1/processes/${idle.id}`],
    ['POST', `/v1/processes/${idle.id}/terminate`],
    ['POST', '/v1/providers/claude/cleanup'],
  ] as const) {
    const answer = await http.app.inject({ method, url, headers: asCaller });
    expect([answer.statusCode, answer.json().code], url).toEqual([403, 'auth.forbidden']);
  }
  expect(http.processes.ended).toEqual([]);
});
