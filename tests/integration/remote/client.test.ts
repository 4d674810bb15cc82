import { describe, expect, it, onTestFinished } from 'vitest';
import { createExecutorClient } from '../../../src/remote/client.ts';
import { wasNotSent } from '../../../src/remote/signed-requests.ts';
import { type ScriptedExecutor, SECRET, scriptedExecutor } from '../../fakes/scripted-executor.ts';
import { eventually } from '../../helpers/eventually.ts';

const ID = '01J00000000000000000000001';
const CANCEL = { reason: 'cancelled', force: false } as const;
const never = new AbortController().signal;

function clientOf({ url }: Pick<ScriptedExecutor, 'url'>, silentMs = 5000, timeoutMs = 5000) {
  const client = createExecutorClient({ url, secret: SECRET, timeoutMs, silentMs });
  onTestFinished(client.close);
  return client;
}

async function errorOf(task: Promise<unknown>) {
  return task.then(
    () => null,
    (error: unknown) => error,
  );
}

async function linesFrom(client: ReturnType<typeof clientOf>, after = 0) {
  const lines = [];
  for await (const line of client.follow(ID, after, never)) lines.push(line);
  return lines;
}

const textLine = (n: number, text = `t${n}`) =>
  ({ type: 'event', n, event: { kind: 'text', text }, raw: null }) as const;

describe('the client of an executor', () => {
  it('signs each request with a nonce of its own, and learns the node', async () => {
    const executor = await scriptedExecutor();
    const client = clientOf(executor);
    expect(client.node).toBeNull();
    await client.known();
    await client.cancel(ID, CANCEL);
    await client.known();
    expect(client.node).toBe('node-1');
    expect(executor.requests.map(({ path }) => path)).toEqual([
      '/v1/executions',
      `/v1/executions/${ID}/cancel`,
      '/v1/executions',
    ]);
    expect(new Set(executor.requests.map(({ nonce }) => nonce)).size).toBe(3);
  });

  it('passes on why the executor refuses', async () => {
    const executor = await scriptedExecutor();
    executor.script('cancel', { problem: 'execution.id_reused', detail: 'it was another one' });
    executor.script('known', { problem: 'limit.requests_per_minute', retryAfter: 7 });
    const client = clientOf(executor);
    expect(await errorOf(client.cancel(ID, CANCEL))).toMatchObject({
      code: 'execution.id_reused',
      message: 'it was another one',
    });
    expect(await errorOf(client.known())).toMatchObject({ retryAfterSeconds: 7 });
  });

  it('takes an answer that is not one of the executor for none', async () => {
    const executor = await scriptedExecutor();
    executor.script('known', { json: { message: 'Bad Gateway' }, status: 502 }, { json: { node: 1 } });
    const client = clientOf(executor);
    for (let times = 0; times < 2; times += 1) {
      const error = await errorOf(client.known());
      expect(error).toMatchObject({ code: 'executor.unavailable' });
      expect(wasNotSent(error)).toBe(false);
    }
  });

  it.each([
    ['a redirect', { json: {}, status: 308 }, 'no executor: status 308'],
    ['a proxy without its executor', { json: '<html>', status: 404 }, 'no executor: status 404'],
    ['a server of Bullpen', { problem: 'auth.unauthenticated' }, 'status 401 (auth.unauthenticated)'],
  ] as const)('takes %s for no executor, to which nothing was sent', async (_, reply, why) => {
    const executor = await scriptedExecutor();
    executor.become(null);
    executor.script('known', reply);
    const error = await errorOf(clientOf(executor).known());
    expect(error).toMatchObject({ code: 'executor.unavailable', message: expect.stringContaining(why) });
    expect(wasNotSent(error)).toBe(true);
  });

  it('takes a 200 that is no stream of events for none of its executor', async () => {
    const executor = await scriptedExecutor();
    executor.script('events', { json: 'ok' });
    const client = clientOf(executor);
    for (const task of [client.renew(ID, 0), linesFrom(client)])
      expect(await errorOf(task)).toMatchObject({ code: 'executor.unavailable' });
  });

  it('says that something on the way takes no request of this size', async () => {
    const executor = await scriptedExecutor();
    executor.become(null);
    executor.script('cancel', { json: '<html>', status: 413 });
    expect(await errorOf(clientOf(executor).cancel(ID, CANCEL))).toMatchObject({ code: 'request.too_large' });
  });

  it.each([
    ['signature.missing', 0, /removed/],
    ['signature.invalid', 0, /CLAUDE_SERVICE_SECRET/],
    ['signature.replayed', 0, /sent the request before/],
    ['signature.expired', 3_600_000, /its clock is 3[56]\d\d s ahead of/],
    ['signature.expired', -3_600_000, /its clock is 3\d{3} s behind/],
    ['signature.expired', 0, /the clocks differ by more than 30 s/], // the date is that of a proxy
  ] as const)('says what %s comes from, with a clock that is %i ms ahead', async (code, aheadMs, why) => {
    const executor = await scriptedExecutor();
    executor.script('known', { problem: code, date: new Date(Date.now() + aheadMs) });
    expect(await errorOf(clientOf(executor).known())).toMatchObject({
      ...{ code, message: expect.stringMatching(why) },
    });
  });

  it('waits no longer than its timeout for the rest of an answer', async () => {
    const executor = await scriptedExecutor();
    const begun = { lines: ['{'], ends: 'never', status: 502 } as const;
    for (const route of ['known', 'events'] as const) executor.script(route, begun);
    const client = clientOf(executor, 5000, 300);
    // On a busy machine the head may be as late.
    for (const task of [client.known, () => client.renew(ID, 0), () => linesFrom(client)]) {
      const error = await errorOf(task());
      expect(error).toMatchObject({ code: 'executor.unavailable' });
      expect(String(error)).toMatch(/no (answer|connection) within 300 ms/);
    }
  });

  it('knows that a request was not sent when there is no connection, and only then', async () => {
    const executor = await scriptedExecutor();
    const client = clientOf(executor, 5000, 300);
    executor.script('known', 'silent', 'reset');
    const silent = await errorOf(client.known());
    expect(silent).toMatchObject({ code: 'executor.unavailable' });
    expect(String(silent)).toContain('no answer within 300 ms');
    expect(wasNotSent(silent)).toBe(false);
    expect(wasNotSent(await errorOf(client.known()))).toBe(false);
    await executor.close();
    const refused = await errorOf(client.known());
    expect(refused).toMatchObject({ code: 'executor.unavailable' });
    expect(wasNotSent(refused)).toBe(true);
  });

  it('reads lines that come in pieces', async () => {
    const executor = await scriptedExecutor();
    const text = `${JSON.stringify(textLine(1, 'é€😀'))}\n`;
    executor.script('events', {
      lines: [text.slice(0, 20), text.slice(20), { type: 'alive' }, textLine(2)],
    });
    expect(await linesFrom(clientOf(executor))).toEqual([
      textLine(1, 'é€😀'),
      { type: 'alive' },
      textLine(2),
    ]);
  });

  it.each([
    ['no JSON', 'nonsense\n'],
    ['another kind of line', '{"type":"other"}\n'],
    ['a line without an end', '{"type":"alive"}'],
    ['an event without its number', '{"type":"event","event":{"kind":"text","text":""},"raw":null}\n'],
  ])('refuses %s', async (_, line) => {
    const executor = await scriptedExecutor();
    executor.script('events', { lines: [line] });
    expect(await errorOf(linesFrom(clientOf(executor)))).toMatchObject({ code: 'executor.unavailable' });
  });

  it('takes a stream that is cut, or silent, for broken', async () => {
    const executor = await scriptedExecutor();
    executor.script('events', { lines: [textLine(1)], ends: 'cut' }, { lines: [], ends: 'never' });
    const client = clientOf(executor, 200);
    expect(await errorOf(linesFrom(client))).toMatchObject({ code: 'executor.unavailable' });
    expect(String(await errorOf(linesFrom(client, 1)))).toContain('silent for 200 ms');
    expect(executor.requests.at(-1)?.path).toBe(`/v1/executions/${ID}/events?after=1`);
  });

  it('does not count the time of a slow reader as silence', async () => {
    const executor = await scriptedExecutor();
    executor.script('events', { lines: [textLine(1), textLine(2)] });
    const seen = [];
    for await (const line of clientOf(executor, 100).follow(ID, 0, never)) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      seen.push(line);
    }
    expect(seen).toHaveLength(2);
  });

  it('closes the stream when its reader stops', async () => {
    const executor = await scriptedExecutor();
    executor.script('events', { lines: [textLine(1)], ends: 'never' });
    for await (const line of clientOf(executor).follow(ID, 0, never)) {
      expect(line).toEqual(textLine(1));
      expect(executor.open()).toBe(1);
      break;
    }
    await eventually(() => executor.open() === 0);
  });

  it('reports the health of the executor, also when it is not well', async () => {
    const executor = await scriptedExecutor();
    const health = {
      ...{ status: 'unhealthy', claudeAvailable: false, version: null, loggedIn: null },
      ...{ problem: 'the CLI is missing', activeRequests: 0 },
    };
    executor.script('health', { json: health, status: 503 }, { json: {}, status: 404 });
    const client = clientOf(executor);
    expect(await client.health()).toEqual(health);
    expect(await errorOf(client.health())).toMatchObject({ code: 'executor.unavailable' });
  });
});
