import { expect, it } from 'vitest';
import type { Client } from '../../../src/client/client.ts';
import { type Answer, clientOf, json, problem, reset, startScriptedServer } from './scripted-server.ts';

const ID = '01K9ZV4Q5A3C5E7G9J1M3P5R7T';
const session = (status: string) => ({ id: ID, status });
const list = { data: [], nextCursor: null };
const steered = { messageId: 'm', delivered: 'steered', jobId: 'j' };

const asked = ({ requests }: Awaited<ReturnType<typeof startScriptedServer>>) =>
  requests.map(({ method, url, body }) => `${method} ${url.pathname}${url.search} ${body}`.trim());

it('each method asks its route', async () => {
  const server = await startScriptedServer(json(200, steered));
  const { sessions, approvals, message, steer } = clientOf(server.url);
  await sessions.create({ name: 'x', prompt: 'Hi' });
  await sessions.message(ID, { prompt: 'Next', delivery: 'interrupt' });
  expect(await sessions.steer(ID, 'Tabs')).toEqual(steered);
  await sessions.turns(ID, { limit: 5 });
  await sessions.interrupt(ID);
  await sessions.fork(ID);
  await sessions.close(ID);
  await sessions.remove(ID);
  await message('J', { prompt: 'Next' });
  await steer('J', 'Tabs');
  await approvals.list({ status: 'pending', sessionId: ID });
  await approvals.get('A');
  await approvals.decide('A', { decision: 'deny', message: 'no' });
  expect(asked(server)).toEqual([
    'POST /v1/sessions {"name":"x","prompt":"Hi"}',
    `POST /v1/sessions/${ID}/messages {"prompt":"Next","delivery":"interrupt"}`,
    `POST /v1/sessions/${ID}/messages {"prompt":"Tabs","delivery":"steer"}`,
    `GET /v1/sessions/${ID}/turns?limit=5`,
    `POST /v1/sessions/${ID}/interrupt {}`,
    `POST /v1/sessions/${ID}/fork {}`,
    `POST /v1/sessions/${ID}/close {}`,
    `DELETE /v1/sessions/${ID}`,
    'POST /v1/jobs/J/messages {"prompt":"Next"}',
    'POST /v1/jobs/J/messages {"prompt":"Tabs","delivery":"steer"}',
    `GET /v1/approvals?status=pending&sessionId=${ID}`,
    'GET /v1/approvals/A',
    'POST /v1/approvals/A/decide {"decision":"deny","message":"no"}',
  ]);
  const keys = server.requests.map(({ headers }) => headers['idempotency-key'] !== undefined);
  expect(keys.map((has, index) => (has ? index : -1)).filter((index) => index >= 0)).toEqual([
    0, 1, 2, 5, 8, 9,
  ]);
});

it('a message is repeated under its key', async () => {
  const server = await startScriptedServer(problem(503, 'redis.unavailable'), json(202, steered));
  await clientOf(server.url).sessions.steer(ID, 'Tabs');
  expect(new Set(server.requests.map(({ headers }) => headers['idempotency-key'])).size).toBe(1);
});

it.each<[string, (client: Client) => Promise<unknown>]>([
  ['a deletion', (client) => client.sessions.remove(ID)],
  ['an interrupt, which could stop the next turn', (client) => client.sessions.interrupt(ID)],
  ['the end of a process', (client) => client.terminateProcess('P')],
  ['a new token of a key', (client) => client.rotateKey('K')],
  ['a login link', (client) => client.createLoginLink()],
])('%s is not repeated', async (_, act) => {
  const server = await startScriptedServer(reset);
  await expect(act(clientOf(server.url))).rejects.toMatchObject({ refused: false });
  expect(server.requests).toHaveLength(1);
});

it('a wait asks again until the status is there', async () => {
  const server = await startScriptedServer(json(200, session('busy')), json(200, session('ready')));
  const { sessions } = clientOf(server.url);
  expect(await sessions.get(ID, { waitMs: 10_000 })).toEqual(session('ready'));
  for (const { url } of server.requests) {
    expect(url.searchParams.get('until')).toBe('ready');
    expect(Number(url.searchParams.get('wait'))).toBeLessThanOrEqual(10);
  }
  expect(await sessions.get(ID)).toEqual(session('ready'));
  expect(server.requests.at(-1)?.url.search).toBe('');
});

it('a list names its filters', async () => {
  const server = await startScriptedServer(json(200, list));
  const query = { status: ['ready', 'busy'], tag: ['a,b'], all: true, q: 'x' } as const;
  expect(await clientOf(server.url).sessions.list(query)).toEqual(list);
  expect(server.requests[0]?.url.search).toBe('?status=ready&status=busy&tag=a%2Cb&tag=a%2Cb&all=true&q=x');
});

it('a session is followed over broken connections, each event once', async () => {
  const stream =
    (...seqs: number[]): Answer =>
    (response) => {
      const events = seqs.map((seq) => {
        const data = { seq, sessionId: ID, kind: 'session.status', status: 'busy', reason: null };
        return `id: ${seq}\ndata: ${JSON.stringify(data)}\n\n`;
      });
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(events.join(''));
    };
  const server = await startScriptedServer(stream(4, 5), stream(5, 6), stream(7));
  const seen: number[] = [];
  for await (const { seq } of clientOf(server.url).sessions.events(ID, { after: 3, kinds: ['text'] })) {
    seen.push(seq);
    if (seq === 7) break;
  }
  expect(seen).toEqual([4, 5, 6, 7]);
  expect(server.requests.map(({ headers }) => headers['last-event-id'])).toEqual(['3', '5', '6']);
  expect(server.requests[0]?.url.search).toBe('?kinds=text');
});
