import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { callerOf } from '../../fakes/principals.ts';
import { eventually } from '../../helpers/eventually.ts';
import { dialLive, type LiveClient, TRANSPORTS } from '../../helpers/live-client.ts';
import { ADMIN_TOKEN, asAdmin, asCaller, startHttp } from './harness.ts';
import { parseAnswer, rawRequest } from './raw-socket.ts';

const SUBSCRIBE = { command: 'subscribe' };
const PAGE = 'https://app.example.org';

/** Headers of an upgrade. */
const upgrade = (path: string, more: readonly string[] = []): readonly string[] => [
  `GET ${path} HTTP/1.1`,
  'Host: 127.0.0.1',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ...more,
];
const AUTHORIZED = `Authorization: ${asAdmin.authorization}`;

async function refusal(url: string, lines: readonly string[]) {
  const { status, head, problem } = parseAnswer(await rawRequest(url, lines));
  expect(head).toContain('application/problem+json');
  return [status, problem['code']];
}

describe.each(TRANSPORTS)('over %s', (transport) => {
  test('a connection gets the events of a job as SSE has them, without the line of the CLI', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    const job = await http.make();
    http.events.publish(job.id, { kind: 'text', text: 'Hello' }, '{"secret":1}');
    using live = await dialLive(url, { transport, headers: asAdmin });
    const answer = await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE });
    expect(answer).toMatchObject({ type: 'status', job_id: job.id, data: { command: 'subscribe' } });
    const output = await live.find(({ type }) => type === 'output');
    const at = new Date(0).toISOString();
    expect(output).toEqual({
      ...{ type: 'output', job_id: job.id, seq: 1, message_id: `${job.id}-1`, timestamp: at },
      data: { seq: 1, jobId: job.id, attempt: 1, at, kind: 'text', text: 'Hello' },
    });
  });

  test('without a token the first message must be auth', async () => {
    await using http = await startHttp();
    using live = await dialLive(await http.listen(), { transport });
    const refused = await live.ask({ type: 'command', data: SUBSCRIBE });
    expect(refused).toMatchObject({ type: 'error', data: { code: 'auth.unauthenticated', status: 401 } });
    const answer = await live.ask({ type: 'auth', data: { token: ADMIN_TOKEN } });
    expect(answer).toMatchObject({ type: 'status', data: { principal: 'admin', expiresAt: null } });
    expect(await live.ask({ type: 'command', data: SUBSCRIBE })).toMatchObject({
      type: 'status',
      data: { snapshot: { jobs: [], sessions: [], cut: false } },
    });
  });

  test('a wrong token in a message ends the connection with 4401', async () => {
    await using http = await startHttp();
    using live = await dialLive(await http.listen(), { transport });
    live.send({ type: 'auth', message_id: 'a', data: { token: 'wrong' } });
    expect(await live.ended).toBe(4401);
    expect(live.messages[0]).toMatchObject({ type: 'error', reply_to: 'a' });
  });

  test('a wrong token in the handshake makes no connection', async () => {
    await using http = await startHttp();
    const headers = { authorization: 'Bearer wrong' };
    await expect(dialLive(await http.listen(), { transport, headers })).rejects.toThrow();
  });

  test('a page of another origin connects only when the settings name it', async () => {
    await using http = await startHttp({ live: { liveOrigins: [PAGE] } });
    const url = await http.listen();
    const from = (origin: string) => dialLive(url, { transport, headers: { ...asAdmin, origin } });
    (await from(PAGE)).close();
    (await from(url)).close();
    await expect(from('https://other.example.org')).rejects.toThrow();
    await expect(from('null')).rejects.toThrow();
  });

  test('messages that are malformed are refused, and one that is too large ends it with 4413', async () => {
    await using http = await startHttp();
    using live = await dialLive(await http.listen(), { transport, headers: asAdmin });
    const wrong = (count: number) =>
      live.find((one) => one === live.messages.filter(({ type }) => type === 'error')[count - 1]);
    live.sendText('{"no json');
    expect((await wrong(1)).data).toMatchObject({ code: 'request.invalid' });
    live.sendText(Buffer.from('{"type":"ping","message_id":"b"}'));
    expect((await wrong(2)).data).toMatchObject({ code: 'request.invalid' });
    expect(await live.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
    live.send({ type: 'ping', message_id: 'x'.repeat(66_000) });
    expect(await live.ended).toBe(4413);
  });

  test('a stop ends connections with 1001 at once, and refuses new ones', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    using live = await dialLive(url, { transport, headers: asAdmin });
    http.app.refuseNewRequests();
    await expect(dialLive(url, { transport, headers: asAdmin })).rejects.toThrow();
    expect(await live.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
    await http.app.close();
    expect(await live.ended).toBe(1001);
  });

  test('a name of another server, and too many connections, are refused', async () => {
    await using http = await startHttp({ live: { liveConnections: 1 } });
    const url = await http.listen();
    const headers = { ...asAdmin, host: 'rebound.example.org' };
    await expect(dialLive(url, { transport, headers })).rejects.toThrow();
    using _first = await dialLive(url, { transport, headers: asAdmin });
    using second = await dialLive(url, { transport, headers: asAdmin });
    expect(await second.ended).toBe(4429);
  });
});

describe('Socket.IO', () => {
  test('takes a token from the auth of its handshake, and a wrong one ends the connection', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    using live = await dialLive(url, { transport: 'socket.io', auth: { token: ADMIN_TOKEN } });
    expect(await live.find(({ reply_to }) => reply_to === 'handshake')).toMatchObject({ type: 'status' });
    using wrong = await dialLive(url, { transport: 'socket.io', auth: { token: 'wrong' } });
    expect(await wrong.ended).toBe(4401);
  });

  test('survives events with the names that it uses itself', async () => {
    await using http = await startHttp();
    using live = await dialLive(await http.listen(), { transport: 'socket.io', headers: asAdmin });
    live.send({ type: 'error', message_id: 'e', data: {} });
    expect(await live.find(({ reply_to }) => reply_to === 'e')).toMatchObject({ type: 'error' });
    expect(await live.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  });

  /** A connection as the protocol of Socket.IO has it, packet by packet. */
  async function dialRaw(url: string) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, {
      headers: asAdmin,
    });
    onTestFinished(() => socket.terminate());
    const got: string[] = [];
    socket.on('message', (packet) => void got.push(String(packet)));
    const closed = once(socket, 'close');
    await once(socket, 'open');
    const send = (...packets: readonly (string | Buffer)[]): void => {
      for (const packet of packets) socket.send(packet);
    };
    return {
      ...{ got, closed, send },
      async join() {
        send('40');
        await eventually(() => got.some((packet) => packet.startsWith('40{')));
      },
    };
  }
  const PING = '42["ping",{"message_id":"p"}]';

  test('refuses bytes and lists as messages', async () => {
    await using http = await startHttp();
    const raw = await dialRaw(await http.listen());
    await raw.join();
    raw.send('451-["ping",{"_placeholder":true,"num":0}]', Buffer.alloc(50_000), '42["ping",[1]]', PING);
    await eventually(() => raw.got.some((packet) => packet.startsWith('42["pong"')));
    const errors = raw.got.filter((packet) => packet.startsWith('42["error"'));
    expect(errors).toHaveLength(2);
    for (const error of errors) expect(error).toContain('must be one JSON object as text');
  });

  test('ends the connection of a client that leaves, so that every connection counts', async () => {
    await using http = await startHttp();
    const raw = await dialRaw(await http.listen());
    await raw.join();
    raw.send('41');
    await raw.closed;
  });

  test('answers a wrong namespace, and cuts a client that goes on with such', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    const clumsy = await dialRaw(url);
    clumsy.send('40/admin,');
    await clumsy.join();
    clumsy.send(PING);
    await eventually(() => clumsy.got.some((packet) => packet.startsWith('42["pong"')));
    expect(clumsy.got).toContain('44/admin,{"message":"Invalid namespace"}');
    const hostile = await dialRaw(url);
    hostile.send(...Array.from({ length: 20 }, (_, n) => `40/n${n},`));
    await hostile.closed;
    expect(hostile.got.filter((packet) => packet.startsWith('44')).length).toBeLessThanOrEqual(10);
  });

  test('has no polling', async () => {
    await using http = await startHttp();
    for (const method of ['GET', 'POST'] as const) {
      const url = '/socket.io/?EIO=4&transport=polling';
      const answer = await http.app.inject({ method, url, headers: asAdmin });
      expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
    }
    const url = await http.listen();
    const old = upgrade('/socket.io/?EIO=3&transport=websocket', [AUTHORIZED]);
    expect(await refusal(url, old)).toEqual([400, 'request.invalid']);
  });
});

describe('WebSocket', () => {
  test('keeps few answers to the control frames of a client that does not read', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/live`, { headers: asAdmin });
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    let pongs = 0;
    socket.on('pong', () => {
      pongs += 1;
    });
    const ping = Buffer.alloc(125);
    socket.ping(ping);
    await eventually(() => pongs === 1);
    socket.pause();
    const count = 120_000; // more than the network takes
    for (let sent = 0; sent < count; sent += 1) socket.ping(ping);
    await new Promise((resolve) => socket.ping(ping, true, resolve));
    const messages: string[] = [];
    socket.on('message', (text) => void messages.push(String(text)));
    socket.send('{"type":"ping","message_id":"p"}', () => socket.resume());
    await eventually(() => messages.some((text) => text.includes('"reply_to":"p"')));
    expect(pongs).toBeLessThan(count);
  });
});

describe('an upgrade', () => {
  test('is refused with the problem that a request would get', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    const wrong = 'Authorization: Bearer wrong';
    expect(await refusal(url, upgrade('/v1/live', [wrong]))).toEqual([401, 'auth.unauthenticated']);
    expect(await refusal(url, upgrade('/v1/live', [AUTHORIZED, AUTHORIZED]))).toEqual([
      401,
      'auth.unauthenticated',
    ]);
    expect(await refusal(url, upgrade('/v1/live?ticket=old'))).toEqual([401, 'auth.unauthenticated']);
    expect(await refusal(url, upgrade('/elsewhere'))).toEqual([404, 'request.not_found']);
    expect(await refusal(url, upgrade('/v1/live?x=1', [AUTHORIZED]))).toEqual([400, 'request.invalid']);
    const other = [AUTHORIZED, 'Origin: https://other.example.org'];
    expect(await refusal(url, upgrade('/v1/live', other))).toEqual([403, 'auth.forbidden']);
    const keyless = upgrade('/v1/live', [AUTHORIZED]).filter((line) => !line.includes('-Key'));
    expect(await refusal(url, keyless)).toEqual([400, 'request.invalid']);
    const rebound = upgrade('/v1/live', [AUTHORIZED]).map((line) =>
      line.startsWith('Host') ? 'Host: rebound.example.org' : line,
    );
    expect(await refusal(url, rebound)).toEqual([421, 'request.misdirected']);
  });

  test('of another protocol is an offer that the server does not take', async () => {
    await using http = await startHttp();
    const url = await http.listen();
    const lines = ['GET /health HTTP/1.1', 'Host: 127.0.0.1', 'Connection: Upgrade, close', 'Upgrade: h2c'];
    expect((await rawRequest(url, lines)).split('\r\n')[0]).toBe('HTTP/1.1 200 OK');
  });

  test('is what these addresses are for', async () => {
    await using http = await startHttp();
    const answer = await http.app.inject({ url: '/v1/live', headers: asAdmin });
    expect(answer.json()).toMatchObject({ status: 400, errors: [{ path: '/headers/upgrade' }] });
  });

  test('with the login cookie comes from pages of this server only', async () => {
    await using http = await startHttp({ live: { liveOrigins: [PAGE] } });
    const url = await http.listen();
    const login = await http.app.inject({ method: 'POST', url: '/login', payload: { token: ADMIN_TOKEN } });
    const cookie = String(login.headers['set-cookie']).split(';')[0] ?? '';
    const answered = async (headers: Record<string, string>) => {
      using live = await dialLive(url, { transport: 'websocket', headers: { cookie, ...headers } });
      return (await live.ask({ type: 'command', data: SUBSCRIBE })).type;
    };
    expect(await answered({ origin: url })).toBe('status');
    expect(await answered({ origin: PAGE })).toBe('error');
    expect(await answered({})).toBe('error');
  });
});

describe('/cli/session/:id/ws', () => {
  const path = (id: string, rest = '') => `/cli/session/${id}/ws${rest}`;
  const outputs = ({ messages }: LiveClient) => messages.filter(({ type }) => type === 'output');

  async function withEvents() {
    const http = await startHttp();
    const { session } = await http.sessions.create(callerOf('caller'), {}, null);
    const event = { sessionId: session.id, at: new Date(0).toISOString(), kind: 'session.status' } as const;
    http.sessionFeed.events.push(
      { seq: 1, ...event, status: 'busy', reason: null },
      { seq: 2, ...event, status: 'ready', reason: null },
    );
    return { http, url: await http.listen(), id: session.id };
  }

  test('subscribes to the session at once, from a seq on', async () => {
    const { http, url, id } = await withEvents();
    await using _ = http;
    const options = { transport: 'websocket', headers: asAdmin } as const;
    using live = await dialLive(url, { ...options, path: path(id) });
    await live.find(({ seq }) => seq === 2);
    expect(live.messages[0]).toMatchObject({
      type: 'status',
      session_id: id,
      data: { command: 'subscribe' },
    });
    expect(outputs(live).map(({ seq }) => seq)).toEqual([1, 2]);
    using resumed = await dialLive(url, { ...options, path: path(id, '?after=1') });
    await resumed.find(({ seq }) => seq === 2);
    expect(outputs(resumed).map(({ seq }) => seq)).toEqual([2]);
  });

  test('takes a ticket, which is a right to read it and no more', async () => {
    const { http, url, id } = await withEvents();
    await using _ = http;
    const made = await http.app.inject({
      ...{ method: 'POST', url: '/v1/stream-tokens', headers: asAdmin, payload: { sessionId: id } },
    });
    const ticket = `?ticket=${encodeURIComponent(made.json().ticket)}`;
    using live = await dialLive(url, { transport: 'websocket', path: path(id, ticket) });
    await live.find(({ seq }) => seq === 2);
    expect(await live.ask({ type: 'cancel', session_id: id })).toMatchObject({
      data: { code: 'auth.forbidden' },
    });
    const { session } = await http.sessions.create(callerOf('caller'), {}, null);
    expect(await refusal(url, upgrade(path(session.id, ticket)))).toEqual([401, 'auth.unauthenticated']);
  });

  test('is 404 without such a session, 4404 when the caller is known later, 403 without the scope', async () => {
    const { http, url, id } = await withEvents();
    await using _ = http;
    const none = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
    expect(await refusal(url, upgrade(path(none), [AUTHORIZED]))).toEqual([404, 'session.not_found']);
    using live = await dialLive(url, { transport: 'websocket', path: path(none) });
    live.send({ type: 'auth', message_id: 'a', data: { token: ADMIN_TOKEN } });
    expect(await live.ended).toBe(4404);
    const caller = `Authorization: ${asCaller.authorization}`;
    expect(await refusal(url, upgrade(path(id), [caller]))).toEqual([403, 'auth.forbidden']);
  });
});

test.each(['the logout', 'twelve hours'])('%s: what the login has opened ends', async (end) => {
  let now = Date.now();
  await using http = await startHttp({ clocks: { now: () => now } });
  const url = await http.listen();
  const login = await http.app.inject({ method: 'POST', url: '/login', payload: { token: ADMIN_TOKEN } });
  const headers = { cookie: String(login.headers['set-cookie']).split(';')[0] ?? '', origin: url };
  using live = await dialLive(url, { transport: 'websocket', headers });
  expect(await live.ask({ type: 'command', data: SUBSCRIBE })).toMatchObject({ type: 'status' });
  const { id } = await http.make();
  const opened = await fetch(`${url}/v1/jobs/${id}/events`, { headers });
  const asked = { method: 'POST', body: JSON.stringify({ jobId: id }) };
  const tickets = { ...headers, 'content-type': 'application/json' };
  const made = await fetch(`${url}/v1/stream-tokens`, { ...asked, headers: tickets });
  const { ticket } = (await made.json()) as { ticket: string };

  if (end === 'the logout') await fetch(`${url}/logout`, { method: 'POST', headers });
  else now += 12 * 60 * 60_000;
  expect(await live.ask({ type: 'cancel', job_id: id })).toMatchObject({
    data: { code: 'auth.unauthenticated' },
  });
  expect((await fetch(`${url}/v1/jobs/${id}/events?ticket=${ticket}`)).status).toBe(401);
  expect(await live.ended).toBe(4401);
  await opened.text(); // the stream ends
  expect(await http.jobs.get(callerOf('caller'), id)).toMatchObject({ cancelRequested: false });
});
