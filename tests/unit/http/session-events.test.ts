import { expect, test } from 'vitest';
import type { Principal } from '../../../src/auth/principal.ts';
import type { SessionStoredEvent } from '../../../src/protocol/event.ts';
import { callerOf } from '../../fakes/principals.ts';
import { asAdmin, startHttp } from './harness.ts';
import { framesIn, readStream } from './stream-reader.ts';

type Http = Awaited<ReturnType<typeof startHttp>>;
const OWNER: Principal = callerOf('caller');
const at = '2026-11-21T12:00:00.000Z';

/** A session with a change of its own, and with events of a job. */
async function withEvents(http: Http): Promise<string> {
  const { session } = await http.sessions.create(OWNER, {}, null);
  const sessionId = session.id;
  const job = { sessionId, at, jobId: 'J', attempt: 1, raw: '{"type":"x"}' };
  const events: SessionStoredEvent[] = [
    { seq: 1, sessionId, at, kind: 'session.status', status: 'busy', reason: null },
    { ...job, seq: 2, jobSeq: 1, kind: 'text.delta', text: 'Hel' },
    { ...job, seq: 3, jobSeq: 2, kind: 'text', text: 'Hello' },
    { ...job, seq: 4, jobSeq: 3, kind: 'raw', line: 'x' },
    { ...job, seq: 5, jobSeq: 4, kind: 'job.finished', job: {} },
    { seq: 6, sessionId, at, kind: 'session.status', status: 'ready', reason: null },
  ];
  http.sessionFeed.events.push(...events);
  return sessionId;
}

async function frames(http: Http, path: string, headers: Record<string, string> = {}) {
  const response = await fetch((await url(http)) + path, { headers: { ...asAdmin, ...headers } });
  const stream = readStream(response);
  const text = await stream.until('"ready"');
  await stream.leave();
  return { text, frames: framesIn(text) };
}

const addresses = new WeakMap<Http, Promise<string>>();
async function url(http: Http): Promise<string> {
  const address = addresses.get(http) ?? http.listen();
  addresses.set(http, address);
  return address;
}

test('a session streams its changes and the events of its jobs, and resumes by seq', async () => {
  await using http = await startHttp();
  const path = `/v1/sessions/${await withEvents(http)}/events`;
  const all = await frames(http, path);
  expect(all.frames.map(({ event, id }) => [event, id])).toEqual([
    ['session.status', 1],
    ['text.delta', 2],
    ['text', 3],
    ['job.finished', 5],
    ['session.status', 6],
  ]);
  expect(all.frames[2]?.data).toMatchObject({ seq: 3, jobSeq: 2, jobId: 'J', text: 'Hello' });
  expect(all.text).not.toContain('"raw"');
  const ids = async (rest: string, headers = {}) =>
    (await frames(http, path + rest, headers)).frames.map(({ id }) => id);
  expect(await ids('?after=3')).toEqual([5, 6]);
  // A browser that reconnects repeats an old query.
  expect(await ids('?after=1', { 'last-event-id': '5' })).toEqual([6]);
  expect(await ids('?kinds=text')).toEqual([1, 3, 5, 6]);
  expect(await ids('?raw=true&after=2')).toEqual([3, 4, 5, 6]);
});

test('NDJSON has the same events, one a line', async () => {
  await using http = await startHttp();
  const path = `/v1/sessions/${await withEvents(http)}/events?after=4`;
  const { text } = await frames(http, path, { accept: 'application/x-ndjson' });
  expect(
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).seq),
  ).toEqual([5, 6]);
});

test("a ticket opens one session's events, and no job's with the same id", async () => {
  await using http = await startHttp();
  const sessionId = await withEvents(http);
  const scopes = ['sessions:read'] as const;
  const { token } = await http.keys.create(
    OWNER,
    { name: 'x', project: 'caller', scopes: [...scopes] },
    null,
  );
  const issue = (payload: object, headers: Record<string, string>) =>
    http.app.inject({ method: 'POST', url: '/v1/stream-tokens', headers, payload });
  const answer = await issue({ sessionId }, { authorization: `Bearer ${token}` });
  expect(answer.statusCode).toBe(201);
  const { url: path, ticket } = answer.json();
  expect(path).toBe(`/v1/sessions/${sessionId}/events?ticket=${encodeURIComponent(ticket)}`);
  const stream = readStream(await fetch((await url(http)) + path));
  await stream.until('"ready"');
  await stream.leave();
  const { session: other } = await http.sessions.create(OWNER, {}, null);
  for (const closed of [`/v1/jobs/${sessionId}/events`, `/v1/sessions/${other.id}/events`, '/v1/sessions'])
    expect((await http.app.inject({ url: `${closed}?ticket=${ticket}` })).statusCode, closed).toBe(401);
  const { id: jobId } = await http.make();
  const refused = await issue({ jobId }, { authorization: `Bearer ${token}` });
  expect([refused.statusCode, refused.json().code]).toEqual([403, 'auth.forbidden']);
});

test.each([
  [{}, 400],
  [{ jobId: 'x', sessionId: 'x' }, 400],
  [{ sessionId: 'x' }, 404],
])('the body %j of a ticket is %i', async (payload, status) => {
  await using http = await startHttp();
  const answer = await http.app.inject({
    method: 'POST',
    url: '/v1/stream-tokens',
    headers: asAdmin,
    payload,
  });
  expect(answer.statusCode).toBe(status);
});

test('a reader with a revoked key is cut', async () => {
  await using http = await startHttp();
  const sessionId = await withEvents(http);
  const key = { name: 'x', project: 'caller', scopes: ['sessions:read' as const] };
  const { id, token } = await http.keys.create(OWNER, key, null);
  const response = await fetch(`${await url(http)}/v1/sessions/${sessionId}/events`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const stream = readStream(response);
  await stream.until('"ready"');
  await http.keys.revoke(OWNER, id);
  await stream.all();
});
