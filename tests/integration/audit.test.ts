/** The audit of real servers: who did what, and whether the ledger still says so. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import type { AuditEntry, AuditVerification } from '../../src/protocol/audit.ts';
import { eventually } from '../helpers/eventually.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { breakableRedis, fakeClis } from './fault-bench.ts';

const AUDITED = [
  ...['createJob', 'changeJob', 'cancelJob', 'retryJob', 'deleteJob', 'cancelJobs', 'retryJobs'],
  ...['createBatch', 'cancelBatch', 'createKey', 'revokeKey', 'rotateKey', 'terminateProcess'],
  ...['createSession', 'messageSession', 'messageJob', 'interruptSession', 'forkSession', 'closeSession'],
  ...['deleteSession', 'decideApproval', 'typeIntoTerminal', 'signalTerminal'],
  ...['cleanUpProvider', 'resumeProvider', 'pauseQueue', 'resumeQueue', 'drainNode', 'resumeNode', 'logIn'],
];
/**
 * A stream token lasts a minute; a logout takes a right away; no job reads preferences; a size is
 * no act; a link that logs in has its entry when it is used.
 */
const WITHOUT_ENTRY = ['createLoginLink', 'createStreamToken', 'logOut', 'setPreferences', 'resizeTerminal'];
const SLOW = { timeout: 120_000 };

/** Two servers of one Redis; the copy of the first is changed by the first test. */
const pair = shared(async () => {
  const clis = await fakeClis();
  const { url: REDIS_URL } = await breakableRedis();
  const env = {
    ...{ REDIS_URL, BULLPEN_RAW_REQUESTS: 'on', BULLPEN_SWEEP_MS: '50' },
    ...{ BULLPEN_APPROVAL_UNATTENDED_MS: '600000', BULLPEN_KILL_GRACE_MS: '500' },
  };
  const terminals = { enabled: true, commands: { bash: { binary: 'bash', args: ['--norc'] } } };
  const start = () => startServer({ config: { ...clis.config, terminals }, env });
  const [server, other] = await Promise.all([start(), start()]);
  return { clis, server, other };
});

interface AuditPage {
  readonly data: readonly AuditEntry[];
  readonly nextCursor: string | null;
}

/** What the test reads of answers. */
interface Answer {
  readonly id: string;
  readonly token: string;
  readonly data: readonly { readonly id: string }[];
  readonly items: readonly { readonly id: string }[];
}

async function entries(server: TestServer, query = ''): Promise<readonly AuditEntry[]> {
  const answer = await server.api('GET', `/v1/audit?limit=100${query}`);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as AuditPage).data;
}

const verification = async (server: TestServer, head = '') =>
  (await server.api('GET', `/v1/audit/verification${head}`)).json() as Promise<AuditVerification>;

/** Makes a request and returns its answer. */
async function act(
  server: TestServer,
  method: string,
  path: string,
  body?: unknown,
  headers = {},
): Promise<Answer> {
  const answer = await server.api(method, path, body, { 'x-request-id': 'the-request', ...headers });
  expect(answer.status, `${method} ${path}`).toBeLessThan(300);
  return (answer.status === 204 ? {} : await answer.json()) as Answer; // each use reads what is there
}

it('every act has one entry, the same on each server; a copy that was changed is found', SLOW, async () => {
  const { server, other } = await pair();
  const secret = 'sk-ant-not-for-the-audit';
  const prompt = { provider: 'echo', prompt: secret };
  const key = await act(server, 'POST', '/v1/keys', {
    name: secret,
    project: 'web',
    scopes: ['jobs:write', 'audit:read'],
  });
  const as = { authorization: `Bearer ${key.token}` };
  const job = await act(server, 'POST', '/v1/jobs?wait=20', prompt, as);
  await act(server, 'PATCH', `/v1/jobs/${job.id}`, { tags: ['x'], metadata: { [secret]: secret } }, as);
  await act(server, 'PATCH', `/v1/jobs/${job.id}`, { tags: ['x'] }, as); // changes nothing
  const retried = await act(server, 'POST', `/v1/jobs/${job.id}/retry`, { delayMs: 60_000 }, as);
  await act(server, 'POST', `/v1/jobs/${retried.id}/cancel`, { force: true }, as);
  await act(server, 'POST', `/v1/jobs/${retried.id}/cancel`, {}, as); // changes nothing
  await act(server, 'DELETE', `/v1/jobs/${job.id}`, undefined, as);
  const batch = await act(
    server,
    'POST',
    '/v1/batches',
    {
      prompts: [
        { ...prompt, delayMs: 60_000 },
        { provider: 'none', prompt: '' },
      ],
    },
    as,
  );
  await act(server, 'POST', '/v1/jobs/cancel', { filter: { batch: batch.id } }, as);
  await act(server, 'POST', '/v1/queue/pause', { project: 'web' });
  await act(server, 'POST', '/v1/queue/resume', { project: 'web' });
  await act(server, 'POST', '/v1/queue/resume', { project: 'web' }); // changes nothing
  const node = (await act(server, 'GET', '/v1/nodes')).data[0]?.id;
  await act(server, 'POST', `/v1/nodes/${node}/drain`);
  await act(server, 'POST', `/v1/nodes/${node}/resume`);
  await act(server, 'POST', '/v1/providers/claude/cleanup');
  await act(server, 'POST', `/v1/keys/${key.id}/rotate`);
  await act(server, 'POST', `/v1/keys/${key.id}/revoke`);
  await act(server, 'POST', `/v1/keys/${key.id}/revoke`); // changes nothing
  await act(server, 'POST', '/login', { token: server.token });
  for (let tries = 0; tries < 3; tries += 1)
    expect(
      (await server.api('GET', '/v1/jobs', undefined, { authorization: `Bearer ${secret}` })).status,
    ).toBe(401);

  const principal = `key:${key.id}`;
  const [admin, web] = [{ principal: 'admin' }, { principal, project: 'web' }];
  const expected = [
    {
      ...admin,
      action: 'key.created',
      target: key.id,
      project: 'web',
      details: { scopes: ['jobs:write', 'audit:read'] },
    },
    { ...web, action: 'job.created', target: job.id, details: null },
    { ...web, action: 'job.changed', target: job.id, details: { changed: ['tags', 'metadata'] } },
    { ...web, action: 'job.retried', target: retried.id, details: { retryOf: job.id } },
    { ...web, action: 'job.cancelled', target: retried.id, details: { force: true } },
    { ...web, action: 'job.deleted', target: job.id },
    { ...web, action: 'batch.created', target: batch.id, details: { jobs: 1, refused: 1 } },
    { ...web, action: 'job.cancelled', target: batch.items[0]?.id, details: null },
    { ...admin, action: 'queue.paused', target: 'project:web', project: 'web' },
    { ...admin, action: 'queue.resumed', target: 'project:web', project: 'web' },
    { ...admin, action: 'node.drained', target: node, project: null },
    { ...admin, action: 'node.resumed', target: node, project: null },
    { ...admin, action: 'provider.cleaned', target: 'claude', details: { ended: 0 } },
    { ...admin, action: 'key.rotated', target: key.id, project: 'web' },
    { ...admin, action: 'key.revoked', target: key.id, project: 'web' },
    { ...admin, action: 'login.created', target: null },
    { principal: null, action: 'login.refused', details: { count: 1 } },
  ].map((entry) => ({ address: '127.0.0.1', requestId: expect.any(String), ...entry }));
  const listed = await eventually(async () => {
    const found = (await entries(server)).toReversed();
    return found.length >= expected.length && found;
  });
  expect(listed).toMatchObject(expected);
  expect(new Set(listed.slice(0, -1).map(({ requestId }) => requestId))).toEqual(new Set(['the-request']));
  expect(await entries(other)).toEqual(await entries(server));
  expect(JSON.stringify(listed)).not.toContain(secret);

  // Filters and pages.
  expect(await entries(server, '&action=job.cancelled')).toHaveLength(2);
  expect(await entries(server, `&target=${job.id}&principal=${principal}`)).toHaveLength(3);
  expect(await entries(server, `&from=${listed[3]?.at}&project=ops`)).toEqual([]);
  const paged: AuditEntry[] = [];
  for (let cursor = ''; ; ) {
    const page = (await (await server.api('GET', `/v1/audit?limit=5${cursor}`)).json()) as AuditPage;
    paged.unshift(...page.data.toReversed());
    if (page.nextCursor === null) break;
    cursor = `&cursor=${page.nextCursor}`;
  }
  expect(paged).toEqual(listed);
  expect((await server.api('GET', '/v1/audit?cursor=x')).status).toBe(400);

  // A new operation that changes something gets an entry, or is named here with a reason.
  const { paths } = (await (await server.api('GET', '/openapi.json')).json()) as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>>;
  };
  const changing = Object.values(paths).flatMap((item) =>
    Object.entries(item).flatMap(([method, { operationId }]) => (method === 'get' ? [] : [operationId])),
  );
  expect(changing.toSorted()).toEqual([...AUDITED, ...WITHOUT_ENTRY].toSorted());

  // The chain.
  const whole = await verification(server);
  expect(whole).toMatchObject({ ok: true, entries: expected.length, problem: null });
  const { seq, hash } = whole.head ?? expect.unreachable();
  expect(await verification(server, `?head=${seq}:${hash}`)).toEqual(whole);
  expect(await verification(server, `?head=${seq}:${'0'.repeat(64)}`)).toMatchObject({
    ok: false,
    problem: { seq },
  });
  expect((await verification(other)).head).toEqual(whole.head);

  const ledger = new DatabaseSync(join(server.home, 'ledger.db'), { timeout: 10_000 });
  ledger.exec("UPDATE audit SET principal = 'admin' WHERE seq = 4");
  ledger.close();
  expect(await verification(server)).toMatchObject({ ok: false, entries: 3, problem: { seq: 4 } });
  expect(await verification(other)).toMatchObject({ ok: true });
});

it('what is done to sessions, turns and approvals has its entries, too', SLOW, async () => {
  const { clis, server } = await pair();
  const before = (await entries(server)).length;
  const client = createClient({ url: server.url, token: server.token });
  const secret = 'sk-ant-not-for-the-audit';
  const tool = { name: 'Bash', input: { command: secret }, asks: true as const };
  const { id } = await client.sessions.create({
    ...{
      name: secret,
      onPermissionDenied: 'ask',
      prompt: fakePrompt([{ tool }, { waitFor: clis.latch('go') }], 'x'),
    },
  });
  const approval = await eventually(async () => (await client.approvals.list()).data[0] ?? null);
  await client.approvals.decide(approval.id, { decision: 'deny', message: secret });
  await client.approvals.decide(approval.id, { decision: 'deny', message: secret }); // changes nothing
  await client.sessions.steer(id, secret);
  const next = await client.sessions.message(id, { prompt: secret, delivery: 'interrupt' });
  await client.get(next.id, { waitMs: 60_000 });
  await client.sessions.interrupt(id); // nothing runs
  const fork = await client.sessions.fork(id);
  await client.sessions.close(id);
  await client.sessions.close(id); // changes nothing
  await client.sessions.remove(id);
  const terminal = await client.sessions.create({ kind: 'terminal', command: 'bash' });
  await client.sessions.input(terminal.id, { data: secret });
  await client.sessions.input(terminal.id, { data: secret }); // one entry for each caller
  await client.sessions.resize(terminal.id, { cols: 90, rows: 20 });
  await client.sessions.signal(terminal.id, 'INT');
  await client.sessions.close(terminal.id);
  await client.sessions.close(terminal.id); // changes nothing
  const listed = (await entries(server))
    .toReversed()
    .slice(before)
    .map(({ action, target, principal }) => [action, target, principal]);
  const turn = approval.jobId;
  expect(listed).toEqual(
    [
      ['session.created', id],
      ['job.created', turn],
      ['approval.decided', approval.id],
      ['message.steered', turn],
      ['job.created', next.id],
      ['job.interrupted', turn],
      ['session.created', fork.id],
      ['session.closed', id],
      ['job.deleted', turn],
      ['job.deleted', next.id],
      ['session.deleted', id],
      ['session.created', terminal.id],
      ['terminal.typed', terminal.id],
      ['terminal.signalled', terminal.id],
      ['session.closed', terminal.id],
    ].map((entry) => [...entry, 'admin']),
  );
  expect(JSON.stringify(await entries(server))).not.toContain(secret);
});
