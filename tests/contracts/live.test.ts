/** Live connections to two real servers of one Redis, over both transports. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LiveMessage } from '../../src/protocol/live.ts';
import { fakePrompt } from '../helpers/fake-cli.ts';
import { dialLive, type LiveClient, TRANSPORTS, type Transport } from '../helpers/live-client.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { shared } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';
import { breakableRedis, fakeClis } from '../integration/fault-bench.ts';

const SUBSCRIBE = { command: 'subscribe' };
const SLOW = { timeout: 120_000 };
/** 200 clients and the servers share the processors. */
const PATIENT = { timeout: 60_000 };

/** Of what is written before base64, which makes more of it. */
const PART_BYTES = 2_000_000;

const pair = shared(async () => {
  const redis = await breakableRedis();
  const { config } = await fakeClis();
  const work = join(tempDir(), 'work');
  mkdirSync(work);
  const start = () =>
    startServer({
      config: {
        ...config,
        terminals: {
          enabled: true,
          commands: { bash: { binary: 'bash', args: ['--norc'] }, cat: { binary: 'cat', args: [] } },
        },
      },
      env: { REDIS_URL: redis.url, BULLPEN_CWD: work },
    });
  const [a, b] = await Promise.all([start(), start()]);
  return { a, b };
});

async function made(server: TestServer, path: string, body: object): Promise<string> {
  const response = await server.api('POST', path, body);
  expect(response.ok, await response.clone().text()).toBe(true);
  return ((await response.json()) as { id: string }).id; // of the documented answer
}

const dial = (server: TestServer, transport: Transport, token = server.token) =>
  dialLive(server.url, { transport, headers: { authorization: `Bearer ${token}` } });

const outputs = ({ messages }: LiveClient): LiveMessage[] => messages.filter(({ type }) => type === 'output');
const seqs = (live: LiveClient): number[] => outputs(live).map(({ seq }) => seq ?? 0);
const isKind = (kind: string) => (message: LiveMessage) => Reflect.get(message.data, 'kind') === kind;

/** Reads a target from its beginning, and again in parts with a new connection for each. */
async function inParts(
  { a, b }: { readonly a: TestServer; readonly b: TestServer },
  transport: Transport,
  target: object,
  isLast: (message: LiveMessage) => boolean,
) {
  using whole = await dial(a, transport);
  await whole.ask({ type: 'command', ...target, seq: 0, data: SUBSCRIBE });
  await whole.find(isLast);
  const all = outputs(whole);
  const parts: LiveMessage[] = [];
  for (const [part, server] of [b, a, b, a].entries()) {
    using live = await dial(server, transport);
    const seq = parts.at(-1)?.seq ?? 0;
    await live.ask({ type: 'command', ...target, seq, data: SUBSCRIBE });
    await live.find(isLast);
    // The connection breaks somewhere in the middle: what came after that is not used.
    const rest = outputs(live);
    parts.push(...(part === 3 ? rest : rest.slice(0, Math.ceil(rest.length / 2))));
  }
  return { all, parts };
}

describe.each(TRANSPORTS)('two servers over %s', (transport) => {
  it('give a session and a job exactly, in parts from either server', SLOW, async () => {
    const servers = await pair();
    const prompt = fakePrompt([{ deltas: { count: 40, text: 'word ' } }], 'done');
    const session = await made(servers.a, '/v1/sessions', { provider: 'claude', prompt });
    const isReady = (message: LiveMessage) =>
      isKind('session.status')(message) && Reflect.get(message.data, 'status') === 'ready';
    const ofSession = await inParts(servers, transport, { session_id: session }, isReady);
    expect(ofSession.parts).toEqual(ofSession.all);
    expect(ofSession.all.map(({ seq }) => seq)).toEqual(ofSession.all.map((_, at) => at + 1));

    const job = (await servers.b.run({ provider: 'claude', prompt })).id;
    const ofJob = await inParts(servers, transport, { job_id: job }, isKind('job.finished'));
    expect(ofJob.parts).toEqual(ofJob.all);
    expect(ofJob.all.length).toBeGreaterThan(10);
    const stream = await servers.a.api('GET', `/v1/jobs/${job}/events`, undefined, {
      accept: 'application/x-ndjson',
    });
    const lines = (await stream.text()).trim().split('\n');
    expect(ofJob.all.map(({ data }) => JSON.stringify(data))).toEqual(lines);
  });

  it('do a repeated message once, on whichever server it comes again', SLOW, async () => {
    const { a, b } = await pair();
    using first = await dial(a, transport);
    using second = await dial(b, transport);
    const session = await made(a, '/v1/sessions', { provider: 'claude' });
    const prompt = {
      ...{ type: 'command', session_id: session, message_id: `once-${transport}` },
      data: { command: 'prompt', prompt: 'hello' },
    };
    const answer = await first.ask(prompt);
    expect(answer.type).toBe('status');
    expect((await second.ask(prompt)).data).toEqual(answer.data);
    const interrupt = { ...prompt, message_id: 'stop', data: { command: 'interrupt' } };
    expect((await second.ask(interrupt)).data).toEqual({ command: 'interrupt', repeated: false });
    expect((await first.ask(interrupt)).data).toEqual({ command: 'interrupt', repeated: true });
    const turns = await a.api('GET', `/v1/sessions/${session}/turns`);
    expect(((await turns.json()) as { data: object[] }).data).toHaveLength(1); // the documented page

    const terminal = await made(a, '/v1/sessions', { kind: 'terminal', command: 'cat' });
    const typed = { ...prompt, session_id: terminal, data: { command: 'input', data: 'x\r' } };
    expect((await second.ask(typed)).data).toMatchObject({ command: 'input', repeated: false });
    expect((await first.ask(typed)).data).toMatchObject({ command: 'input', repeated: true });
  });

  it('give all clients of a terminal the same bytes in the same order', SLOW, async () => {
    const { a, b } = await pair();
    const terminal = await made(a, '/v1/sessions', { kind: 'terminal', command: 'bash' });
    using first = await dial(a, transport);
    using second = await dial(b, transport);
    for (const live of [first, second]) {
      await live.ask({ type: 'command', session_id: terminal, data: SUBSCRIBE });
      await live.find(isKind('terminal.screen'));
    }
    const type = (live: LiveClient, data: string) =>
      live.ask({ type: 'command', session_id: terminal, data: { command: 'input', data } });
    await Promise.all([type(first, 'echo fir""st\r'), type(second, 'echo sec""ond\r')]);
    await type(second, 'exit\r');
    const isClosed = ({ type, data }: LiveMessage) =>
      type === 'output' && Reflect.get(data, 'status') === 'closed';
    for (const live of [first, second]) await live.find(isClosed);
    // Each begins with the screen as it is then.
    const since = Math.max(...[first, second].map((live) => seqs(live)[0] ?? 0));
    const [one = [], other = []] = [first, second].map((live) =>
      outputs(live).filter(({ seq = 0 }) => seq > since),
    );
    expect(one).toEqual(other);
    expect(one.map(({ seq }) => seq)).toEqual(one.map((_, at) => since + 1 + at));
    const bytes = outputs(first).filter(isKind('terminal.output'));
    const text = bytes.map(({ data }) => Buffer.from(Reflect.get(data, 'data'), 'base64')).join('');
    expect(text).toMatch(/first/);
    expect(text).toMatch(/second/);
  });

  it('close the connections of a revoked key, on both servers', SLOW, async () => {
    const { a, b } = await pair();
    const key = (await (
      await a.api('POST', '/v1/keys', { name: 'short', scopes: ['jobs:read'] })
    ).json()) as { id: string; token: string }; // the documented answer
    using other = await dial(b, transport);
    using first = await dial(a, transport, key.token);
    using second = await dial(b, transport, key.token);
    expect(await first.ask({ type: 'command', data: SUBSCRIBE })).toMatchObject({ type: 'status' });
    const refused = await first.ask({ type: 'cancel', job_id: '01ARZ3NDEKTSV4RRFFQ69G5FAV' });
    expect(refused.data).toMatchObject({ code: 'auth.forbidden' });
    await a.api('POST', `/v1/keys/${key.id}/revoke`, {});
    expect(await Promise.all([first.ended, second.ended])).toEqual([4401, 4401]);
    expect(await other.ask({ type: 'ping' })).toMatchObject({ type: 'pong' });
  });
});

describe('a slow reader', () => {
  it('among 40 is closed with 4409, slows none of the others, and resumes where it was', SLOW, async () => {
    const { a } = await pair();
    const open = (command: string) => made(a, '/v1/sessions', { kind: 'terminal', command });
    const [much, little] = await Promise.all([open('bash'), open('cat')]);
    const subscribe = (terminal: string, seq: number) => ({
      ...{ type: 'command', session_id: terminal, seq, data: SUBSCRIBE },
    });
    const readers = await Promise.all(Array.from({ length: 40 }, () => dial(a, 'websocket')));
    const [slow, quick, ...others] = readers;
    if (slow === undefined || quick === undefined) return expect.unreachable();
    for (const live of [slow, quick]) await live.ask(subscribe(much, 0));
    await Promise.all(others.map((live) => live.ask(subscribe(little, 0))));
    // Both are at the live end. One that is not gets the screen in place of what is no longer kept.
    await Promise.all([slow, quick].map((live) => live.find(isKind('terminal.output'))));
    slow.pause();
    const type = (terminal: string, data: string) =>
      quick.ask({ type: 'command', session_id: terminal, data: { command: 'input', data } });
    // More than the system's buffers take, in parts, so that only the one that is paused is slow.
    const offset = (): number => Number(Reflect.get(outputs(quick).at(-1)?.data ?? {}, 'offset') ?? 0);
    for (let bytes = PART_BYTES; bytes <= 4 * PART_BYTES; bytes += PART_BYTES) {
      await type(much, `head -c ${PART_BYTES} /dev/zero | base64\r`);
      await expect.poll(offset, PATIENT).toBeGreaterThan(bytes);
    }
    await type(much, 'exit\r');
    for (let line = 0; line < 20; line += 1) await type(little, `line ${line}\r`);
    await type(little, '\u0004');
    const isClosed = (message: LiveMessage) =>
      message.type === 'output' && Reflect.get(message.data, 'status') === 'closed';
    const [first] = others;
    const over = ({ messages }: LiveClient) => expect.poll(() => messages.some(isClosed), PATIENT).toBe(true);
    for (const live of [quick, ...others]) await over(live);
    for (const live of others) expect(seqs(live)).toEqual(seqs(first ?? quick));
    expect(seqs(first ?? quick)).toEqual(seqs(first ?? quick).map((_, at) => at + 1));
    const whole = seqs(quick);
    expect(whole).toEqual(whole.map((_, at) => at + 1));
    await expect.poll(() => a.log(), PATIENT).toContain('"code":4409');
    slow.resume();
    expect(await slow.ended).toBe(4409);
    using resumed = await dial(a, 'websocket');
    await resumed.ask(subscribe(much, seqs(slow).at(-1) ?? 0));
    await resumed.find(isClosed);
    expect(seqs(resumed).at(-1)).toBe(whole.at(-1));
    for (const live of readers) live.close();
  });
});
