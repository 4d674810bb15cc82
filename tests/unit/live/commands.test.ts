import { expect, test } from 'vitest';
import type { Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import { ACCESS } from '../../../src/http/scopes.ts';
import { LIVE_ACCESS } from '../../../src/live/commands.ts';
import type { Scope } from '../../../src/protocol/key.ts';
import { callerOf } from '../../fakes/principals.ts';
import { liveBench, OWNER } from './live-bench.ts';

const NONE = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const codeOf = ({ data }: { readonly data: object }) => Reflect.get(data, 'code');

async function withSession(principal: Principal = OWNER) {
  const bench = liveBench();
  const { session } = await bench.sessions.create(OWNER, {}, null);
  const { job } = await bench.jobs.create(OWNER, { prompt: 'first' }, null);
  const live = bench.connect({ principal, only: null });
  const command = (data: object, more: object = { session_id: session.id }) =>
    live.ask({ type: 'command', data, ...more });
  return { bench, live, command, session, job };
}

test('a prompt is a message to the session; the same message_id again is the same job', async () => {
  const { bench, command, session } = await withSession();
  const prompt = { command: 'prompt', prompt: 'Hello' };
  const first = await command(prompt, { session_id: session.id, message_id: 'p1' });
  expect(first).toMatchObject({
    ...{ type: 'status', session_id: session.id, reply_to: 'p1' },
    data: { command: 'prompt', jobId: expect.any(String), delivered: 'next' },
  });
  const again = await command(prompt, { session_id: session.id, message_id: 'p1' });
  expect(again.data).toEqual(first.data);
  const other = await command({ ...prompt, prompt: 'Bye' }, { session_id: session.id, message_id: 'p1' });
  expect(codeOf(other)).toBe('idempotency.key_reused');
  expect(bench.jobs.requests.map(({ prompt }) => prompt)).toEqual(['first', 'Hello']);
  expect(codeOf(await command({ ...prompt, prompt: ' ' }))).toBe('request.invalid');
});

test('a prompt with a job goes to the session of the job, and may steer its turn', async () => {
  const { bench, command, job } = await withSession();
  const steer = { command: 'prompt', prompt: 'Use tabs', delivery: 'steer' };
  const answer = await command(steer, { job_id: job.id });
  expect(answer.data).toMatchObject({ command: 'prompt', delivered: 'steered' });
  expect(bench.sessions.messages).toMatchObject([{ prompt: 'Use tabs', delivery: 'steer' }]);
});

test('input, resize and signal are asked of the terminal with the id of their message', async () => {
  const { bench, command, session } = await withSession();
  const input = { command: 'input', data: 'ls\r', clientSeq: 7 };
  const first = await command(input, { session_id: session.id, message_id: 'i1' });
  expect(first.data).toEqual({ command: 'input', clientSeq: 7, repeated: false });
  const again = await command(input, { session_id: session.id, message_id: 'i1' });
  expect(again.data).toMatchObject({ repeated: true });
  await command({ command: 'resize', cols: 100, rows: 30 });
  await command({ command: 'signal', signal: 'INT' });
  expect(bench.terminals.asked.slice(2).map(({ ask }) => ask)).toEqual([
    { kind: 'resize', cols: 100, rows: 30, messageId: expect.any(String) },
    { kind: 'signal', signal: 'INT', messageId: expect.any(String) },
  ]);
  const origin = { address: '192.0.2.1', requestId: 'request-1' };
  expect(bench.terminals.asked[0]?.principal).toEqual({ ...OWNER, origin });
});

test('an interrupt acts once for each message_id', async () => {
  const { bench, command, session } = await withSession();
  const interrupt = (message_id: string) =>
    command({ command: 'interrupt' }, { session_id: session.id, message_id });
  expect((await interrupt('a')).data).toEqual({ command: 'interrupt', repeated: false });
  expect((await interrupt('a')).data).toEqual({ command: 'interrupt', repeated: true });
  await interrupt('b');
  expect(bench.sessions.interrupted).toEqual([session.id, session.id]);
});

test('an interrupt that was refused was not done: it acts when it comes again with its id', async () => {
  const { bench, command, session } = await withSession();
  bench.sessions.failInterrupt = new AppError('redis.unavailable', 'Redis cannot be reached');
  const interrupt = () => command({ command: 'interrupt' }, { session_id: session.id, message_id: 'a' });
  expect(codeOf(await interrupt())).toBe('redis.unavailable');
  expect((await interrupt()).data).toEqual({ command: 'interrupt', repeated: false });
  expect(bench.sessions.interrupted).toEqual([session.id]);
});

test('cancel cancels a job, or interrupts the session', async () => {
  const { bench, live, session, job } = await withSession();
  const cancelled = await live.ask({ type: 'cancel', job_id: job.id, data: { force: true } });
  expect(cancelled).toMatchObject({ type: 'status', job_id: job.id, data: { command: 'cancel' } });
  expect((await bench.jobs.get(OWNER, job.id)).metadata).toEqual({ force: 'true' });
  expect(await live.ask({ type: 'cancel', session_id: session.id })).toMatchObject({ type: 'status' });
  expect(bench.sessions.interrupted).toEqual([session.id]);
  expect(codeOf(await live.ask({ type: 'cancel' }))).toBe('request.invalid');
});

test('what is not there, or is of another project, is not found', async () => {
  const { command, live, session, job } = await withSession(
    callerOf('other', 'other', ['jobs:write', 'sessions:write', 'terminals', 'approvals:decide']),
  );
  const subscribe = { command: 'subscribe' };
  for (const id of [session.id, NONE, 'no-ulid'])
    expect(codeOf(await command(subscribe, { session_id: id }))).toBe('session.not_found');
  for (const id of [job.id, NONE, 'no-ulid'])
    expect(codeOf(await command(subscribe, { job_id: id }))).toBe('job.not_found');
  expect(codeOf(await command({ command: 'prompt', prompt: 'x' }))).toBe('session.not_found');
  expect(codeOf(await command({ command: 'interrupt' }))).toBe('session.not_found');
  expect(codeOf(await live.ask({ type: 'cancel', job_id: job.id }))).toBe('job.not_found');
  const decide = { command: 'decide', approvalId: 'no-ulid', decision: 'allow' };
  expect(codeOf(await command(decide, {}))).toBe('approval.not_found');
});

test.each<readonly [Scope, object, object]>([
  ['sessions:read', { command: 'subscribe' }, { session_id: NONE }],
  ['jobs:read', { command: 'subscribe' }, { job_id: NONE }],
  ['jobs:read', { command: 'subscribe' }, {}],
  ['sessions:write', { command: 'prompt', prompt: 'x' }, { session_id: NONE }],
  ['jobs:write', { command: 'prompt', prompt: 'x' }, { job_id: NONE }],
  ['sessions:write', { command: 'interrupt' }, { session_id: NONE }],
  ['terminals', { command: 'input', data: 'x' }, { session_id: NONE }],
  ['terminals', { command: 'resize', cols: 1, rows: 1 }, { session_id: NONE }],
  ['terminals', { command: 'signal', signal: 'INT' }, { session_id: NONE }],
  ['approvals:decide', { command: 'decide', approvalId: NONE, decision: 'allow' }, {}],
  ['jobs:write', { force: true }, { type: 'cancel', job_id: NONE }],
  ['sessions:write', {}, { type: 'cancel', session_id: NONE }],
])('without the scope %s %j is forbidden', async (scope, data, more) => {
  const { command } = await withSession(callerOf('owner', 'owner', ['usage:read']));
  const { data: problem } = await command(data, more);
  expect(problem).toMatchObject({ code: 'auth.forbidden', detail: expect.stringContaining(scope) });
});

test('the scopes are those of the routes of HTTP', () => {
  expect(LIVE_ACCESS).toMatchObject({
    prompt: ACCESS['messageSession'],
    promptJob: ACCESS['messageJob'],
    interrupt: ACCESS['interruptSession'],
    cancelJob: ACCESS['cancelJob'],
    decide: ACCESS['decideApproval'],
    readSession: ACCESS['streamSession'],
    readJob: ACCESS['streamJob'],
  });
  expect(LIVE_ACCESS.readJob).toBe(ACCESS['streamChanges']);
});

test('what HTTP counts as a request of a caller counts, typing does not', async () => {
  const { bench, command, job, live } = await withSession();
  await command({ command: 'input', data: 'x' });
  await command({ command: 'subscribe' });
  expect(bench.counted).toEqual([]);
  await command({ command: 'prompt', prompt: 'x' });
  await command({ command: 'interrupt' });
  await live.ask({ type: 'cancel', job_id: job.id });
  await command({ command: 'decide', approvalId: NONE, decision: 'allow' }, {});
  expect(bench.counted).toEqual(['owner', 'owner', 'owner', 'owner']);
});

test('an error of the server is named without its details, and does not end the connection', async () => {
  const { bench, command } = await withSession();
  bench.sessions.failNext = new AppError('redis.unavailable', 'Redis cannot be reached');
  const answer = await command({ command: 'prompt', prompt: 'x' });
  expect(answer).toMatchObject({
    type: 'error',
    data: { code: 'redis.unavailable', status: 503, requestId: 'request-1' },
  });
  expect(await command({ command: 'interrupt' })).toMatchObject({ type: 'status' });
});

test('a job that ends ends its subscription; a repeated subscribe replaces the first one', async () => {
  const { bench, live, command, job } = await withSession();
  const subscribe = (more: object) => command({ command: 'subscribe' }, { job_id: job.id, ...more });
  bench.events.publish(job.id, { kind: 'text', text: 'one' });
  await subscribe({});
  await live.find(({ seq }) => seq === 1);
  await subscribe({ seq: 1 });
  bench.events.publish(job.id, { kind: 'text', text: 'two' });
  bench.events.publish(job.id, { kind: 'job.finished', job: {} });
  const ended = await live.find(({ data }) => 'ended' in data);
  expect(ended).toMatchObject({
    type: 'status',
    job_id: job.id,
    data: { command: 'subscribe', ended: true },
  });
  expect(ended).not.toHaveProperty('reply_to');
  const outputs = live.messages.filter(({ type }) => type === 'output');
  expect(outputs.map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test('kinds leave out others, and every reader of an event gets the same bytes', async () => {
  const { bench, live, command, job } = await withSession();
  const other = bench.connect();
  const data = { command: 'subscribe', kinds: ['text'] };
  await command(data, { job_id: job.id });
  await other.ask({ type: 'command', job_id: job.id, data: { command: 'subscribe' } });
  bench.events.publish(job.id, { kind: 'text.delta', text: 'o' });
  bench.events.publish(job.id, { kind: 'text', text: 'one' });
  for (const one of [live, other]) await one.find(({ seq }) => seq === 2);
  expect(live.messages.flatMap(({ seq }) => seq ?? [])).toEqual([2]);
  expect(live.sent.at(-1)).toBe(other.sent.at(-1));
});

test('all changes begin with a snapshot, and resume with a cursor', async () => {
  const { live, command, session, job } = await withSession();
  const { data } = await command({ command: 'subscribe' }, {});
  expect(data).toMatchObject({
    snapshot: { jobs: [{ id: job.id }], sessions: [{ id: session.id }], cut: false },
  });
  const first = await live.find(({ type }) => type === 'output');
  expect(first).not.toHaveProperty('seq');
  expect(first.data).toMatchObject({ kind: 'cursor', cursor: expect.any(String) });
  const after = Reflect.get(first.data, 'cursor');
  expect((await command({ command: 'subscribe', after }, {})).data).toEqual({ command: 'subscribe' });
  for (const wrong of [{ after: 'x' }, { after, session: 1 }])
    expect(codeOf(await command({ command: 'subscribe', ...wrong }, {}))).toBe('request.invalid');
  const mixed = await command({ command: 'subscribe', after });
  expect(codeOf(mixed)).toBe('request.invalid');
  expect(codeOf(await command({ command: 'subscribe' }, { seq: 1 }))).toBe('request.invalid');
});

test('a connection has at most 100 subscriptions', async () => {
  const { bench, command } = await withSession();
  for (let count = 0; count < 100; count += 1) {
    const { session } = await bench.sessions.create(OWNER, {}, null);
    await command({ command: 'subscribe' }, { session_id: session.id });
  }
  expect(codeOf(await command({ command: 'subscribe' }))).toBe('request.invalid');
});
