import { expect, test } from 'vitest';
import { callerOf } from '../../fakes/principals.ts';
import { LIVE_SETTINGS } from '../../fakes/terminals.ts';
import { eventually } from '../../helpers/eventually.ts';
import { liveBench, OWNER, TOKEN } from './live-bench.ts';

const SUBSCRIBE = { command: 'subscribe' };
const PING = { type: 'ping' };
const codeOf = ({ data }: { readonly data: object }) => Reflect.get(data, 'code');

test('a connection that does not authenticate within 10 s is closed with 4401', async () => {
  const bench = liveBench();
  const late = bench.connect(null);
  const other = bench.connect(null);
  expect(codeOf(await late.ask({ type: 'command', data: SUBSCRIBE }))).toBe('auth.unauthenticated');
  expect(await other.ask({ type: 'auth', data: { token: TOKEN } })).toMatchObject({
    type: 'status',
    data: { principal: 'owner', project: 'owner', expiresAt: null },
  });
  bench.pass(9000);
  expect(late.closedWith()).toBeNull();
  bench.pass(1000);
  expect([late.closedWith(), other.closedWith()]).toEqual([4401, null]);
});

test('a wrong token is refused and ends a connection that has no other', async () => {
  const bench = liveBench();
  const live = bench.connect(null);
  const answer = live.ask({ type: 'auth', data: { token: 'wrong' } });
  expect(codeOf(await answer)).toBe('auth.unauthenticated');
  expect(live.closedWith()).toBe(4401);
  const renewed = bench.connect();
  expect(codeOf(await renewed.ask({ type: 'auth', data: { token: 'wrong' } }))).toBe('auth.unauthenticated');
  expect(codeOf(await renewed.ask({ type: 'auth', data: {} }))).toBe('request.invalid');
  expect(await renewed.ask({ type: 'auth', data: { token: TOKEN } })).toMatchObject({ type: 'status' });
  expect(renewed.closedWith()).toBeNull();
});

test('a command after an auth that says nothing is refused until one does', async () => {
  const live = liveBench().connect(null);
  expect(codeOf(await live.ask({ type: 'auth', data: {} }))).toBe('request.invalid');
  expect((await live.ask({ type: 'command', data: SUBSCRIBE })).data).toMatchObject({
    ...{ code: 'auth.unauthenticated', detail: 'send an auth message first' },
  });
  expect(await live.ask({ type: 'auth', data: { token: TOKEN } })).toMatchObject({ type: 'status' });
});

test('a connection has at most 100 subscriptions, however fast they are asked for', async () => {
  const bench = liveBench();
  const live = bench.connect();
  const created = Array.from({ length: 130 }, () => bench.jobs.create(OWNER, { prompt: 'x' }, null));
  const ids = (await Promise.all(created)).map(({ job }) => job.id);
  const subscribe = (job_id: string) => live.ask({ type: 'command', job_id, data: SUBSCRIBE });
  await Promise.all(ids.slice(0, 60).map(subscribe));
  const answers = await Promise.all(ids.slice(60).map(subscribe));
  expect(answers.filter(({ type }) => type === 'status')).toHaveLength(40);
  await live.ask({ type: 'command', job_id: ids[0], data: { command: 'unsubscribe' } });
  expect((await subscribe(ids.at(-1) ?? '')).type).toBe('status');
});

test('a connection of one session is closed with 4404 when the session is deleted', async () => {
  const bench = liveBench();
  const { session } = await bench.sessions.create(OWNER, {}, null);
  const live = bench.connect(undefined, { sessionId: session.id, after: null });
  await live.find(({ type }) => type === 'status');
  bench.pass(25_000);
  live.connection.receive({ type: 'pong', message_id: 'p' });
  await bench.sessions.delete(OWNER, session.id);
  expect(live.closedWith()).toBeNull();
  bench.pass(25_000);
  await eventually(() => live.closedWith() === 4404);
});

test('the metrics have connections by state, messages, refused tokens and errors', async () => {
  const bench = liveBench();
  const connections = () => bench.measured('bullpen_live_connections');
  const live = bench.connect(null);
  const other = bench.connect();
  expect(connections()).toEqual({ 'websocket unauthenticated': 1, 'websocket authenticated': 1 });
  await live.ask({ type: 'auth', data: { token: TOKEN } });
  expect(connections()).toEqual({ 'websocket authenticated': 2 });
  await live.ask({ type: 'auth', data: { token: 'wrong' } });
  live.connection.refuse('malformed');
  bench.sessions.get = () => Promise.reject(new Error('a fault'));
  const session_id = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
  await live.ask({ type: 'command', session_id, data: SUBSCRIBE });
  expect(bench.measured('bullpen_live_messages_total')).toEqual({ 'websocket in': 4, 'websocket out': 4 });
  expect(bench.measured('bullpen_authentication_failures_total')).toEqual({ '': 1 });
  expect(bench.measured('bullpen_live_errors_total')).toEqual({
    ...{ 'auth.unauthenticated': 1, 'request.invalid': 1, 'internal.error': 1 },
  });
  live.connection.closed();
  expect(connections()).toEqual({ 'websocket authenticated': 1 });
  other.connection.closed();
  expect(connections()).toEqual({});
});

test('a renewal must be by the same caller', async () => {
  const bench = liveBench();
  const live = bench.connect({ principal: callerOf('other'), only: null });
  expect(codeOf(await live.ask({ type: 'auth', data: { token: TOKEN } }))).toBe('auth.forbidden');
  expect(live.closedWith()).toBeNull();
});

test('commands that come right after auth wait for it', async () => {
  const bench = liveBench();
  const job = (await bench.jobs.create(OWNER, { prompt: 'x' }, null)).job;
  const live = bench.connect(null);
  live.connection.receive({ type: 'auth', message_id: 'a', data: { token: TOKEN } });
  expect(await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE })).toMatchObject({
    type: 'status',
  });
});

test('a revoked key closes its connections with 4401 within two seconds, and ends their reads', async () => {
  const bench = liveBench();
  const job = (await bench.jobs.create(OWNER, { prompt: 'x' }, null)).job;
  const live = bench.connect();
  await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE });
  await bench.events.nextReader();
  bench.now.set(OWNER.id, null);
  expect(codeOf(await live.ask({ type: 'cancel', job_id: job.id }))).toBe('auth.unauthenticated');
  bench.pass(2000);
  expect(live.closedWith()).toBe(4401);
  await eventually(() => bench.events.readers === 0);
  expect([bench.core.connections, bench.isTicking()]).toEqual([0, false]);
});

test('a caller who loses a scope loses the subscriptions that need it', async () => {
  const bench = liveBench();
  const job = (await bench.jobs.create(OWNER, { prompt: 'x' }, null)).job;
  const live = bench.connect();
  await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE });
  bench.now.set(OWNER.id, { ...OWNER, scopes: ['sessions:read'] });
  bench.pass(2000);
  expect(await live.find(({ type }) => type === 'error')).toMatchObject({
    job_id: job.id,
    data: { code: 'auth.forbidden' },
  });
  expect(live.closedWith()).toBeNull();
});

test('a ticket gives the right to read its session and nothing else', async () => {
  const bench = liveBench();
  const { session } = await bench.sessions.create(OWNER, {}, null);
  const { session: other } = await bench.sessions.create(OWNER, {}, null);
  const { ticket } = bench.tickets.issue({ noun: 'session', id: session.id, principal: OWNER });
  const live = bench.connect(null);
  expect(await live.ask({ type: 'auth', data: { ticket } })).toMatchObject({ type: 'status' });
  const refused = async (message: object) =>
    codeOf(await live.ask({ type: 'command', data: SUBSCRIBE, ...message }));
  expect(await refused({ session_id: session.id })).toBeUndefined();
  expect(await refused({ session_id: other.id })).toBe('auth.forbidden');
  expect(await refused({})).toBe('auth.forbidden');
  expect(await refused({ session_id: session.id, data: { command: 'interrupt' } })).toBe('auth.forbidden');
  expect(await refused({ type: 'cancel', session_id: session.id, data: {} })).toBe('auth.forbidden');
});

test('a client that answers no ping within 20 s is closed with 4408', async () => {
  const bench = liveBench();
  const [silent, answering] = [bench.connect(), bench.connect()];
  bench.pass(25_000);
  expect(silent.messages).toMatchObject([{ type: 'ping' }]);
  const [ping] = answering.messages;
  answering.connection.receive({ type: 'pong', message_id: 'p', reply_to: ping?.message_id });
  bench.pass(19_000);
  expect(silent.closedWith()).toBeNull();
  bench.pass(1000);
  expect([silent.closedWith(), answering.closedWith()]).toEqual([4408, null]);
  expect(await answering.ask(PING)).toMatchObject({ type: 'pong', data: {} });
});

test('messages above the rate are refused, and end the connection when it goes on', async () => {
  const bench = liveBench({ settings: { ...LIVE_SETTINGS, liveMessagesPerSecond: 2 } });
  const live = bench.connect();
  const send = (id: number) => live.connection.receive({ ...PING, message_id: `p${id}` });
  for (let id = 1; id <= 20; id += 1) send(id);
  expect(live.messages.filter(({ type }) => type === 'pong')).toHaveLength(20);
  send(21);
  expect(live.messages.at(-1)).toMatchObject({
    ...{ type: 'error', reply_to: 'p21' },
    data: { code: 'limit.messages_per_second', status: 429 },
  });
  expect(live.closedWith()).toBeNull();
  bench.pass(1000);
  send(22);
  expect(live.messages.at(-1)).toMatchObject({ type: 'pong', reply_to: 'p22' });
  for (let id = 23; id <= 25; id += 1) send(id);
  expect(live.closedWith()).toBe(4429);
});

test('at most 100 commands may wait for their answer', async () => {
  const bench = liveBench();
  const { session } = await bench.sessions.create(OWNER, {}, null);
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.terminals.gate = promise;
  const live = bench.connect();
  const data = { command: 'input', data: 'x' };
  for (let id = 0; id < 101; id += 1)
    live.connection.receive({ type: 'command', message_id: `i${id}`, session_id: session.id, data });
  expect(live.messages).toMatchObject([{ reply_to: 'i100', data: { code: 'limit.messages_per_second' } }]);
  resolve();
  await live.find(({ reply_to }) => reply_to === 'i99');
  expect(live.messages.slice(1).map(({ reply_to }) => reply_to)).toEqual(
    Array.from({ length: 100 }, (_, id) => `i${id}`),
  );
});

test('commands about one target are done in order; a slow one does not hold up another target', async () => {
  const bench = liveBench();
  const { session } = await bench.sessions.create(OWNER, {}, null);
  const { promise, resolve } = Promise.withResolvers<void>();
  bench.terminals.gate = promise;
  const live = bench.connect();
  const typed = { command: 'input', data: 'x' };
  live.connection.receive({ type: 'command', message_id: 'slow', session_id: session.id, data: typed });
  const later = live.ask({ type: 'command', session_id: session.id, data: { command: 'unsubscribe' } });
  await live.ask({ type: 'command', data: { command: 'unsubscribe' } });
  expect(live.messages.map(({ reply_to }) => reply_to)).not.toContain('slow');
  resolve();
  await later;
  expect(live.messages.map(({ reply_to }) => reply_to)).toEqual(['m2', 'slow', 'm1']);
});

test('a reader with more than 1 MiB unsent for 5 s is closed with 4409, and others are not', async () => {
  const bench = liveBench();
  const job = (await bench.jobs.create(OWNER, { prompt: 'x' }, null)).job;
  const [slow, quick] = [bench.connect(), bench.connect()];
  for (const live of [slow, quick]) await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE });
  slow.take(false);
  const text = 'x'.repeat(300_000);
  for (let count = 0; count < 8; count += 1) bench.events.publish(job.id, { kind: 'text', text });
  await quick.find(({ seq }) => seq === 8);
  await eventually(() => slow.messages.some(({ seq }) => seq === 4));
  bench.pass(4000);
  expect([slow.closedWith(), slow.messages.at(-1)?.seq]).toEqual([null, 4]);
  bench.pass(1000);
  expect([slow.closedWith(), quick.closedWith()]).toEqual([4409, null]);
  expect(bench.measured('bullpen_slow_readers_total')).toEqual({ '': 1 });
});

test('a reader that takes up again in time gets the rest', async () => {
  const bench = liveBench();
  const job = (await bench.jobs.create(OWNER, { prompt: 'x' }, null)).job;
  const live = bench.connect();
  await live.ask({ type: 'command', job_id: job.id, data: SUBSCRIBE });
  live.take(false);
  const text = 'x'.repeat(600_000);
  for (let count = 0; count < 4; count += 1) bench.events.publish(job.id, { kind: 'text', text });
  await live.find(({ seq }) => seq === 2);
  bench.pass(4000);
  live.take(true);
  await live.find(({ seq }) => seq === 4);
  bench.pass(10_000);
  expect(live.closedWith()).toBeNull();
});

test('too many connections, and too many without a token, are closed with 4429', () => {
  const bench = liveBench({ settings: { ...LIVE_SETTINGS, liveConnections: 150 } });
  const strangers = Array.from({ length: 101 }, () => bench.connect(null));
  expect(strangers.map((one) => one.closedWith()).filter((code) => code !== null)).toEqual([4429]);
  expect(strangers.at(-1)?.closedWith()).toBe(4429);
  const known = Array.from({ length: 51 }, () => bench.connect());
  expect(known.at(-2)?.closedWith()).toBeNull();
  expect(known.at(-1)?.closedWith()).toBe(4429);
  expect(known.at(-1)?.messages).toMatchObject([{ type: 'error', data: { code: 'limit.connections' } }]);
});

test('a stop closes every connection with 1001, also one that comes then', async () => {
  const bench = liveBench();
  const live = bench.connect();
  bench.core.stop();
  expect([live.closedWith(), bench.connect().closedWith()]).toEqual([1001, 1001]);
  live.connection.receive({ ...PING, message_id: 'p' });
  expect(live.messages).toEqual([]);
});

test('what is no message of the protocol is refused with what is wrong', async () => {
  const bench = liveBench();
  const live = bench.connect();
  const problems = async (message: Record<string, unknown>) => {
    const { data } = await live.ask({ type: 'command', ...message });
    return Reflect.get(data, 'errors');
  };
  expect(await problems({ data: { command: 'dance' } })).toMatchObject([{ path: '/data/command' }]);
  expect(await problems({ type: 'output' })).toMatchObject([{ path: '/type' }]);
  expect(await problems({ data: { command: 'input' } })).toEqual([
    { path: '/data/data', message: 'is required' },
  ]);
  expect(await problems({ data: { ...SUBSCRIBE, extra: 1 } })).toEqual([
    { path: '/data/extra', message: 'is not a known field' },
  ]);
  expect(await problems({ session_id: 'a', job_id: 'b', data: SUBSCRIBE })).toMatchObject([
    { path: '/job_id' },
  ]);
  const nested = JSON.parse(`${'{"a":'.repeat(70)}1${'}'.repeat(70)}`);
  const decide = { command: 'decide', approvalId: 'x', decision: 'allow' };
  expect(await problems({ data: { ...decide, input: nested } })).toMatchObject([{ path: '' }]);
  const poisoned = JSON.parse('{"__proto__":{"admin":true}}');
  expect(await problems({ data: { ...decide, input: poisoned } })).toMatchObject([{ path: '' }]);
  for (const message of [null, 7, 'text', [], {}, { type: 'ping' }]) {
    live.connection.receive(message);
    expect(live.messages.at(-1)).toMatchObject({ type: 'error', data: { code: 'request.invalid' } });
    expect(live.messages.at(-1)).not.toHaveProperty('reply_to');
  }
  live.connection.refuse('malformed');
  expect(codeOf(live.messages.at(-1) ?? { data: {} })).toBe('request.invalid');
  live.connection.refuse('too_large');
  expect(live.closedWith()).toBe(4413);
});
