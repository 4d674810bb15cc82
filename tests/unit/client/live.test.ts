import { describe, expect, it } from 'vitest';
import { ApiError, UnreachableError } from '../../../src/client/errors.ts';
import { MAX_WAITING } from '../../../src/client/live-link.ts';
import { eventually } from '../../helpers/eventually.ts';
import { type ScriptedSocket, scriptedLive } from './live-socket.ts';

const SESSION = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const output = (seq: number, more: object = {}) => ({
  ...{ type: 'output' as const, session_id: SESSION, seq },
  data: { seq, sessionId: SESSION, at: '', kind: 'terminal.resized', cols: 80, rows: 24, ...more },
});
const input = (data: string) => ({
  ...{ type: 'command', session_id: SESSION },
  data: { command: 'input', data },
});
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => error,
  );

describe('a live connection', () => {
  it('authenticates by a message, never by its address', async () => {
    const { live, connected, statuses } = scriptedLive();
    const socket = await connected(0);
    expect(socket.url).toBe('ws://127.0.0.1:3000/v1/live');
    expect(socket.asked).toEqual([{ type: 'auth', data: { token: 'bp_test' } }]);
    expect(statuses).toEqual([{ state: 'connected' }]);
    live.close();
    expect(socket.closed).toBe(true);
    expect(statuses.at(-1)).toEqual({ state: 'ended', error: null });
  });

  it('asks for the token, or the ticket, of each connection', async () => {
    const tickets = ['t1', 't2'];
    const { live, connected } = scriptedLive({ auth: async () => ({ ticket: tickets.shift() ?? '' }) });
    (await connected(0)).lose();
    const second = await connected(1);
    expect(second.asked).toEqual([{ type: 'auth', data: { ticket: 't2' } }]);
    live.close();
  });

  it('sends nothing before the server has taken the token', async () => {
    const { live, sockets } = scriptedLive();
    const typed = live.input(SESSION, 'ls\r');
    const socket = await eventually(() => sockets[0] ?? null);
    socket.open();
    expect(socket.sent).toHaveLength(1);
    socket.answer(0);
    expect(socket.asked.at(-1)).toEqual(input('ls\r'));
    socket.answer(-1, { data: { clientSeq: null, repeated: false } });
    expect(await typed).toEqual({ clientSeq: null, repeated: false });
    live.close();
  });

  it('answers a ping', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    socket.say({ type: 'ping', message_id: 'p1' });
    expect(socket.sent.at(-1)).toMatchObject({ type: 'pong', reply_to: 'p1' });
    live.close();
  });

  it('that is silent is opened again', async () => {
    const { live, sockets, statuses } = scriptedLive({ silenceMs: 20 });
    await eventually(() => sockets.length >= 2);
    expect(sockets[0]?.closed).toBe(true);
    const [lost] = statuses;
    expect(lost).toMatchObject({ error: { message: expect.stringMatching('no data came for 20 ms') } });
    live.close();
  });

  it('waits longer for each try, and not always equally long', async () => {
    const { live, sockets, waits, connected } = scriptedLive();
    for (let at = 0; at < 40; at += 1) (await eventually(() => sockets[at] ?? null)).lose();
    await connected(40);
    expect(waits[0]).toBeGreaterThanOrEqual(50);
    expect(waits[0]).toBeLessThanOrEqual(100);
    for (const wait of waits.slice(1)) {
      expect(wait).toBeGreaterThanOrEqual(100);
      expect(wait).toBeLessThanOrEqual(200);
    }
    expect(new Set(waits.slice(1)).size).toBeGreaterThan(10);
    live.close();
  });

  it('gives up when none could be made for too long', async () => {
    const { live, sockets } = scriptedLive({ patienceMs: 0 });
    const typed = failureOf(live.input(SESSION, 'x'));
    (await eventually(() => sockets[0] ?? null)).lose();
    expect(await typed).toBeInstanceOf(UnreachableError);
    expect(await failureOf(live.input(SESSION, 'x'))).toBeInstanceOf(UnreachableError);
    expect(await failureOf(live.session(SESSION).next())).toBeInstanceOf(UnreachableError);
  });

  it.each([
    [4401, 'auth.unauthenticated'],
    [4403, 'auth.forbidden'],
    [4404, 'session.not_found'],
  ])('that the server closes with %i is over', async (code, expected) => {
    const { live, sockets, statuses } = scriptedLive();
    const typed = failureOf(live.input(SESSION, 'x'));
    const socket = await eventually(() => sockets[0] ?? null);
    socket.open();
    socket.lose(code, 'not you');
    expect(await typed).toMatchObject({
      code: expected,
      message: `the connection was closed (${code}: not you)`,
    });
    expect(statuses.at(-1)).toMatchObject({ state: 'ended', error: { code: expected } });
    expect(sockets).toHaveLength(1);
  });

  it('whose token is refused says why', async () => {
    const { live, sockets } = scriptedLive();
    const typed = failureOf(live.input(SESSION, 'x'));
    const socket = await eventually(() => sockets[0] ?? null);
    socket.open();
    const problem = { status: 401, code: 'auth.unauthenticated', detail: 'the token is wrong' };
    socket.answer(0, { type: 'error', data: problem });
    expect(await typed).toMatchObject(problem);
  });

  it('whose token has ended is tried once with the next one', async () => {
    const { live, connected, sockets } = scriptedLive();
    (await connected(0)).lose(4401, 'the token is over');
    const second = await eventually(() => sockets[1] ?? null);
    second.open();
    const typed = failureOf(live.input(SESSION, 'x'));
    second.lose(4401, 'the token is over');
    expect(await typed).toMatchObject({ code: 'auth.unauthenticated' });
  });

  it.each([1001, 1006, 4408, 4409, 4429])('that ends with %i is opened again', async (code) => {
    const { live, connected, statuses } = scriptedLive();
    (await connected(0)).lose(code);
    await connected(1);
    expect(statuses.map(({ state }) => state)).toEqual(['connected', 'reconnecting', 'connected']);
    live.close();
  });
});

describe('commands', () => {
  it('are what the server documents', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    const answers = [
      live.prompt(SESSION, { prompt: 'Hi', delivery: 'interrupt' }),
      live.prompt(SESSION, { prompt: 'Use tabs', delivery: 'steer' }),
      live.input(SESSION, 'ls\r'),
      live.resize(SESSION, { cols: 100, rows: 30 }),
      live.signal(SESSION, 'INT'),
      live.interrupt(SESSION),
      live.decide('01A', { decision: 'allow' }),
      live.cancel('01J', { force: true }),
    ];
    const of = (data: object) => ({ type: 'command', session_id: SESSION, data });
    expect(socket.asked.slice(1)).toEqual([
      of({ command: 'prompt', prompt: 'Hi', delivery: 'interrupt' }),
      of({ command: 'prompt', prompt: 'Use tabs', delivery: 'steer' }),
      input('ls\r'),
      of({ command: 'resize', cols: 100, rows: 30 }),
      of({ command: 'signal', signal: 'INT' }),
      of({ command: 'interrupt' }),
      { type: 'command', data: { command: 'decide', approvalId: '01A', decision: 'allow' } },
      { type: 'cancel', job_id: '01J', data: { force: true } },
    ]);
    answers.forEach((_, at) => void socket.answer(at + 1, { data: { at, approval: 'decided' } }));
    const answer = (at: number) => ({ at, approval: 'decided' });
    expect(await Promise.all(answers)).toEqual([...[0, 1, 2, 3, 4, 5].map(answer), 'decided', undefined]);
    live.close();
  });

  it('fail with the error of the server', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    const typed = failureOf(live.input(SESSION, 'x'));
    const problem = { status: 409, code: 'terminal.over', detail: 'its program has ended' };
    socket.answer(-1, { type: 'error', data: problem });
    const error = await typed;
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject(problem);
    live.close();
  });

  it('without an answer are sent again, in order, with the same ids, and before later ones', async () => {
    const { live, connected } = scriptedLive();
    const first = await connected(0);
    const typed = ['a', 'b', 'c'].map((data) => live.input(SESSION, data));
    first.answer(2, { data: { by: 'first' } }); // b
    first.lose();
    typed.push(live.input(SESSION, 'd'));
    const second = await connected(1);
    expect(second.asked.slice(1)).toEqual(['a', 'c', 'd'].map(input));
    expect([first.sent[1], first.sent[3]]).toEqual([second.sent[1], second.sent[2]]);
    for (const at of [1, 2, 3]) second.answer(at, { data: { by: 'second' } });
    expect((await Promise.all(typed)).map((answer) => Object.values(answer)[0])).toEqual([
      ...['second', 'first', 'second', 'second'],
    ]);
    live.close();
  });

  it('are held back while many have no answer', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    const typed = Array.from({ length: 150 }, (_, at) => live.input(SESSION, `${at}`));
    expect(socket.sent).toHaveLength(65);
    socket.answer(1);
    socket.answer(2);
    expect(socket.asked.slice(-2)).toEqual([input('64'), input('65')]);
    for (let at = 3; at < 151; at += 1) socket.answer(at);
    await Promise.all(typed);
    expect(socket.sent).toHaveLength(151);
    live.close();
  });

  it('are refused when a thousand have no answer, or when they are too long', async () => {
    const { live } = scriptedLive();
    const typed = Array.from({ length: MAX_WAITING }, () => failureOf(live.input(SESSION, 'x')));
    expect(await failureOf(live.input(SESSION, 'x'))).toBeInstanceOf(UnreachableError);
    live.close();
    expect(new Set((await Promise.all(typed)).map(String)).size).toBe(1);
    const other = scriptedLive();
    const tooLong = failureOf(other.live.input(SESSION, 'ü'.repeat(33_000)));
    expect(await tooLong).toMatchObject({ status: 413, code: 'request.too_large' });
    other.live.close();
  });
});

/** Reads all that comes, into a list. */
function reading<T>(events: AsyncIterable<T>): { readonly seen: T[]; readonly over: Promise<unknown> } {
  const seen: T[] = [];
  const over = (async () => {
    for await (const event of events) seen.push(event);
  })().catch((error: unknown) => error);
  return { seen, over };
}
const subscriptions = ({ sent }: ScriptedSocket) =>
  sent.flatMap((message) =>
    message.type === 'command' && message.data.command === 'subscribe' ? [message.seq ?? null] : [],
  );

describe('a subscription', () => {
  it('yields the events of its session alone, until the connection is closed', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    const { seen, over } = reading(live.session(SESSION, { kinds: ['terminal.output'] }));
    await eventually(() => socket.sent.length === 2);
    expect(socket.asked[1]).toEqual({
      ...{ type: 'command', session_id: SESSION },
      data: { command: 'subscribe', kinds: ['terminal.output'] },
    });
    socket.answer(1);
    socket.say(output(4));
    socket.say({ ...output(5), session_id: 'another' });
    socket.say(output(6));
    await eventually(() => seen.length === 2);
    expect(seen.map(({ seq }) => seq)).toEqual([4, 6]);
    live.close();
    expect(await over).toBeUndefined();
  });

  it('goes on after its last event on the next connection, and repeats none', async () => {
    const { live, connected } = scriptedLive();
    const { seen } = reading(live.session(SESSION, { after: 3 }));
    const first = await connected(0);
    expect(subscriptions(first)).toEqual([3]);
    first.answer(1);
    first.say(output(4));
    first.say(output(5));
    first.lose();
    const second = await connected(1);
    expect(subscriptions(second)).toEqual([5]);
    second.answer(1);
    for (const seq of [5, 6]) second.say(output(seq));
    await eventually(() => seen.length === 3);
    expect(seen.map(({ seq }) => seq)).toEqual([4, 5, 6]);
    live.close();
  });

  it('of a job ends after job.finished', async () => {
    const { live, connected } = scriptedLive();
    const { seen, over } = reading(live.job('01J'));
    const socket = await connected(0);
    socket.answer(1);
    const event = { jobId: '01J', kind: 'text', text: 'x' };
    socket.say({ type: 'output', job_id: '01J', seq: 1, data: { seq: 1, ...event } });
    socket.say({ type: 'output', job_id: '01J', seq: 2, data: { seq: 2, ...event, kind: 'job.finished' } });
    expect(await over).toBeUndefined();
    expect(seen).toHaveLength(2);
    live.close();
  });

  it('of everything begins with a snapshot and goes on after its cursor, or with another snapshot', async () => {
    const { live, connected } = scriptedLive();
    const { seen } = reading(live.changes());
    const first = await connected(0);
    const snapshot = { jobs: [], sessions: [], cut: false };
    const change = { kind: 'job.changed', cursor: '7-0' };
    expect(first.asked[1]).toEqual({ type: 'command', data: { command: 'subscribe' } });
    first.answer(1, { data: { command: 'subscribe', snapshot } });
    first.say({ type: 'output', data: change });
    first.lose();
    const second = await connected(1);
    expect(second.asked[1]).toEqual({ type: 'command', data: { command: 'subscribe', after: '7-0' } });
    second.answer(1, { type: 'error', data: { status: 410, code: 'events.expired', detail: 'lost' } });
    expect(second.asked[2]).toEqual({ type: 'command', data: { command: 'subscribe' } });
    second.answer(2, { data: { command: 'subscribe', snapshot } });
    await eventually(() => seen.length === 3);
    const taken = { kind: 'snapshot', ...snapshot };
    expect(seen).toEqual([taken, change, taken]);
    live.close();
  });

  it('gets nothing that was sent to the reader before', async () => {
    const { live, connected } = scriptedLive();
    const socket = await connected(0);
    const job = { job_id: '01J', data: { jobId: '01J', kind: 'text', text: 'x' } };
    const say = (seq: number): void => socket.say({ ...job, type: 'output', seq });
    const first = live.job('01J');
    const one = first.next();
    await eventually(() => socket.sent.length === 2);
    socket.answer(1);
    say(1);
    await one;
    await first.return();
    const { seen } = reading(live.job('01J'));
    await eventually(() => subscriptions(socket).length === 2);
    say(2);
    socket.say({ job_id: '01J', type: 'error', data: { status: 404, code: 'job.not_found', detail: '' } });
    socket.say({ job_id: '01J', type: 'status', data: { command: 'subscribe', ended: true } });
    socket.answer(-1);
    for (const seq of [1, 2, 3]) say(seq);
    await eventually(() => seen.length === 3);
    live.close();
  });

  it('that is over ends', async () => {
    const { live, connected } = scriptedLive();
    const { over } = reading(live.job('01J', { after: 9 }));
    const socket = await connected(0);
    socket.answer(1);
    socket.say({ type: 'status', job_id: '01J', data: { command: 'subscribe', ended: true } });
    expect(await over).toBeUndefined();
    live.close();
  });

  it('that the server refuses fails; one that it cannot take now is asked for again', async () => {
    const { live, connected } = scriptedLive();
    const { over } = reading(live.session(SESSION));
    const socket = await connected(0);
    socket.answer(1, { type: 'error', data: { status: 503, code: 'redis.unavailable', detail: 'later' } });
    await eventually(() => subscriptions(socket).length === 2);
    socket.answer(2, { type: 'error', data: { status: 404, code: 'session.not_found', detail: 'none' } });
    expect(await over).toMatchObject({ code: 'session.not_found' });
    live.close();
  });

  it('ends with the reason of its signal, and the server sends no more of it', async () => {
    const { live, connected } = scriptedLive();
    const stop = new AbortController();
    const { over } = reading(live.session(SESSION, { signal: stop.signal }));
    const socket = await connected(0);
    socket.answer(1);
    stop.abort(new Error('enough'));
    expect(await over).toEqual(new Error('enough'));
    expect(socket.asked.at(-1)).toEqual({
      ...{ type: 'command', session_id: SESSION },
      data: { command: 'unsubscribe' },
    });
    expect(reading(live.session(SESSION)).seen).toEqual([]); // it may be read again
    live.close();
  });

  it('is read once at a time on one connection', async () => {
    const { live } = scriptedLive();
    reading(live.session(SESSION));
    expect(await failureOf(live.session(SESSION).next())).toEqual(
      new Error('this connection reads these events already'),
    );
    live.close();
  });

  it('of a reader who is too slow is cut, and goes on where that reader is', async () => {
    const { live, connected } = scriptedLive();
    const events = live.session(SESSION);
    const socket = await connected(0);
    const next = events.next();
    await eventually(() => socket.sent.length === 2);
    socket.answer(1);
    const data = 'x'.repeat(1024 * 1024);
    for (let seq = 1; seq <= 9; seq += 1) socket.say(output(seq, { data }));
    expect(socket.asked.at(-1)).toMatchObject({ data: { command: 'unsubscribe' } });
    const seqs = [(await next).value?.seq];
    let last = (await events.next()).value?.seq ?? Number.POSITIVE_INFINITY;
    seqs.push(last);
    while (subscriptions(socket).length === 1) {
      const pending = events.next();
      if (await eventually(() => subscriptions(socket).length === 2, { timeoutMs: 50 }).catch(() => false)) {
        // What was dropped is asked for again, and what is still on its way is ignored.
        expect(subscriptions(socket)).toEqual([null, last]);
        socket.say(output(9));
        socket.say({ type: 'status', session_id: SESSION, data: { command: 'subscribe', ended: true } });
        socket.answer(-1);
        for (let seq = last + 1; seq <= 9; seq += 1) socket.say(output(seq));
      }
      last = (await pending).value?.seq ?? Number.POSITIVE_INFINITY;
      seqs.push(last);
    }
    while (last < 9) {
      last = (await events.next()).value?.seq ?? Number.POSITIVE_INFINITY;
      seqs.push(last);
    }
    expect(seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    live.close();
  });
});
