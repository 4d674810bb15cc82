import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, asCaller, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const post = ({ app }: Http, url: string, payload?: object) =>
  app.inject({ method: 'POST', url, headers: asAdmin, ...(payload && { payload }) });
const NODE = {
  ...{ id: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', seenAt: Date.parse('2026-11-21T12:00:00Z') },
  ...{ running: 2, given: 1, free: 3 },
};

test('a pause holds all jobs, a provider or a project, each until its own resume', async () => {
  await using http = await startHttp();
  const paused = async (headers = asAdmin) =>
    (await http.app.inject({ url: '/v1/queue', headers })).json().paused;
  expect(await paused()).toEqual([]);
  const all = { provider: null, project: null, since: '2026-11-21T12:00:00.000Z' };
  expect((await post(http, '/v1/queue/pause')).json()).toEqual({ paused: [all] });
  await post(http, '/v1/queue/pause', { provider: 'claude' });
  await post(http, '/v1/queue/pause', { project: 'default' });
  await post(http, '/v1/queue/pause', { project: 'default' });
  const [, provider, project] = await paused();
  expect(provider).toMatchObject({ provider: 'claude', project: null });
  expect(project).toMatchObject({ provider: null, project: 'default' });
  expect(await paused(asCaller)).toEqual([all, provider]); // it is of another project
  expect((await post(http, '/v1/queue/resume', {})).json()).toEqual({ paused: [provider, project] });
  await post(http, '/v1/queue/resume', { provider: 'claude' });
  await post(http, '/v1/queue/resume', { project: 'default' });
  expect(await paused()).toEqual([]);
});

test('a project without a key can be paused when it has jobs, and resumed without them', async () => {
  await using http = await startHttp();
  const { job } = await http.jobs.create(callerOf('jwt:ada', 'web'), { prompt: 'x' }, null);
  expect((await post(http, '/v1/queue/pause', { project: 'web' })).json().paused).toMatchObject([
    { project: 'web' },
  ]);
  http.jobs.finish(job.id);
  await http.jobs.delete(callerOf('jwt:ada', 'web'), job.id);
  expect((await post(http, '/v1/queue/resume', { project: 'web' })).json()).toEqual({ paused: [] });
  expect((await post(http, '/v1/queue/pause', { project: 'web' })).json().code).toBe('project.not_found');
});

test('a node is drained and starts jobs again; a drained one that has stopped is shown, too', async () => {
  await using http = await startHttp();
  http.gates.live.push(NODE);
  await http.gates.hold('node:01K9ZV4Q4S0000000000000000', true);
  const stopped = {
    ...{ id: '01K9ZV4Q4S0000000000000000', status: 'drained', lastSeenAt: null },
    ...{ running: 0, given: 0, free: null },
  };
  const node = {
    ...{ id: NODE.id, status: 'ok', lastSeenAt: '2026-11-21T12:00:00.000Z' },
    ...{ running: 2, given: 1, free: 3 },
  };
  const nodes = await http.app.inject({ url: '/v1/nodes', headers: asAdmin });
  expect(nodes.json()).toEqual({ data: [node, stopped], nextCursor: null });
  const drained = { ...node, status: 'drained' };
  expect((await post(http, `/v1/nodes/${NODE.id}/drain`)).json()).toEqual(drained);
  expect((await post(http, `/v1/nodes/${NODE.id}/drain`, {})).json()).toEqual(drained);
  expect((await post(http, `/v1/nodes/${NODE.id}/resume`)).json()).toEqual(node);
  const resumed = await post(http, `/v1/nodes/${stopped.id}/resume`);
  expect([resumed.statusCode, resumed.json().lastSeenAt]).toEqual([200, null]);
  expect((await post(http, `/v1/nodes/${stopped.id}/resume`)).json().code).toBe('node.not_found');
});

test.each([
  ['/v1/queue/pause', { provider: 'nothing' }, 404, 'provider.not_found'],
  ['/v1/queue/pause', { project: 'nothing' }, 404, 'project.not_found'],
  ['/v1/queue/resume', { project: 'nothing' }, 404, 'project.not_found'],
  ['/v1/queue/pause', { provider: 'claude', project: 'default' }, 400, 'request.invalid'],
  ['/v1/queue/pause', { provider: '' }, 400, 'request.invalid'],
  ['/v1/queue/pause', { provider: 7 }, 400, 'request.invalid'],
  ['/v1/queue/resume', { all: true }, 400, 'request.invalid'],
  ['/v1/queue/pause', [], 400, 'request.invalid'],
  ['/v1/nodes/01K9ZV4Q4S9V0M0X2T6D8Y3B7C/drain', { force: true }, 400, 'request.invalid'],
  ['/v1/nodes/01K9ZV4Q4S9V0M0X2T6D8Y3B7C/drain', {}, 404, 'node.not_found'],
  ['/v1/nodes/x%00/resume', {}, 404, 'node.not_found'],
])('POST %s with %j is %i and holds nothing', async (url, payload, status, code) => {
  await using http = await startHttp();
  const answer = await post(http, url, payload);
  expect([answer.statusCode, answer.json().code]).toEqual([status, code]);
  expect(await http.gates.held()).toEqual([]);
});

test('only an admin holds jobs and sees nodes', async () => {
  await using http = await startHttp();
  for (const [method, url] of [
    ['POST', '/v1/queue/pause'],
    ['POST', '/v1/queue/resume'],
    ['GET', '/v1/nodes'],
    ['POST', `/v1/nodes/${NODE.id}/drain`],
    ['POST', `/v1/nodes/${NODE.id}/resume`],
  ] as const) {
    const answer = await http.app.inject({ method, url, headers: asCaller });
    expect([answer.statusCode, answer.json().code], url).toEqual([403, 'auth.forbidden']);
  }
});
