import { expect, test } from 'vitest';
import type { Scope } from '../../../src/protocol/key.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, startHttp } from './harness.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const decide = ({ app }: Http, id: string, payload: object, headers: Record<string, string> = asAdmin) =>
  app.inject({ method: 'POST', url: `/v1/approvals/${id}/decide`, headers, payload });

async function keyOf(http: Http, project: string, ...scopes: Scope[]) {
  const { token } = await http.keys.create(callerOf('admin'), { name: 'x', project, scopes }, null);
  return { authorization: `Bearer ${token}` };
}

test('approvals are listed with their filters, shown, and decided once', async () => {
  await using http = await startHttp();
  const { id, jobId } = http.approvals.add();
  const list = await http.app.inject({
    url: `/v1/approvals?status=pending&jobId=${jobId}`,
    headers: asAdmin,
  });
  expect(list.json().data).toMatchObject([{ id, status: 'pending' }]);
  expect(http.approvals.queries).toEqual([
    { status: 'pending', jobId, sessionId: null, limit: 20, cursor: null },
  ]);
  const first = await decide(http, id, { decision: 'deny', message: 'Not on a Friday' });
  expect([first.statusCode, first.json().status]).toEqual([200, 'denied']);
  expect((await decide(http, id, { decision: 'deny', message: 'Not on a Friday' })).statusCode).toBe(200);
  const other = await decide(http, id, { decision: 'allow' });
  expect([other.statusCode, other.json().code]).toEqual([409, 'approval.already_decided']);
  const shown = await http.app.inject({ url: `/v1/approvals/${id}`, headers: asAdmin });
  expect(shown.json()).toMatchObject({ status: 'denied', decidedBy: 'admin' });
});

test('a decision takes every documented field and no other', async () => {
  await using http = await startHttp();
  const bodies: readonly [object, number][] = [
    [{ decision: 'allow', input: { command: 'git push --dry-run' } }, 200],
    [{ decision: 'allow', scope: 'session', rule: 'Bash(git *)' }, 200],
    [{ decision: 'allow', answers: { 'Which?': 'A', 'And?': ['B', 'C'] } }, 200],
    [{}, 400],
    [{ decision: 'maybe' }, 400],
    [{ decision: 'allow', input: 'git push' }, 400],
    [{ decision: 'allow', answers: { 'Which?': 1 } }, 400],
    [{ decision: 'allow', scope: 'project' }, 400],
    [{ decision: 'allow', rule: 'Bash(a\nb)' }, 400],
    [{ decision: 'allow', decidedBy: 'admin' }, 400],
    [{ decision: 'allow', signature: 'x' }, 400],
    [{ decision: 'deny', message: 'x'.repeat(8193) }, 400],
  ];
  for (const [body, status] of bodies)
    expect((await decide(http, http.approvals.add().id, body)).statusCode, JSON.stringify(body)).toBe(status);
});

test("another project's approval is 404, and to read is not to decide", async () => {
  await using http = await startHttp();
  const { id } = http.approvals.add({ project: 'web' });
  const stranger = await keyOf(http, 'ops', 'approvals:decide');
  for (const one of [id, 'x']) {
    const answer = await decide(http, one, { decision: 'allow' }, stranger);
    expect([answer.statusCode, answer.json().code]).toEqual([404, 'approval.not_found']);
  }
  const reader = await keyOf(http, 'web', 'approvals:read', 'jobs:write', 'sessions:write');
  expect((await decide(http, id, { decision: 'allow' }, reader)).statusCode).toBe(403);
  expect(http.approvals.decisions.size).toBe(0);
});

test.each(['/v1/approvals?status=open', '/v1/approvals?jobId=x', '/v1/approvals?session=x'])(
  '%s is 400',
  async (url) => {
    await using http = await startHttp();
    expect((await http.app.inject({ url, headers: asAdmin })).statusCode).toBe(400);
  },
);
