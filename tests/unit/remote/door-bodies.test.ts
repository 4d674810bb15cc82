/** Bodies of strangers: a signature covers the body, so the body comes first. */
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { random } from '../../helpers/random.ts';
import { dial, parseAnswer, rawRequest } from '../http/raw-socket.ts';
import { aSubmission, ID, startDoor } from './door-harness.ts';

const MB = 1024 * 1024;
const head = (length: number | 'chunked', path = '/v1/executions'): string[] => [
  ...[`POST ${path} HTTP/1.1`, 'Host: x', 'Content-Type: application/json'],
  length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`,
];

/** A connection that names a body and sends the first byte of it. */
async function begin(url: string, length: number | 'chunked', path?: string): Promise<Socket> {
  const socket = await dial(url);
  socket.write(`${head(length, path).join('\r\n')}\r\n\r\n${length === 'chunked' ? '1\r\n{\r\n' : '{'}`);
  return socket;
}

it('that an address has under way are bounded; with the connections they are free again', async () => {
  await using door = await startDoor({ budget: { addressBytes: 10 * MB } });
  const url = await door.listen();
  const held = [await begin(url, 4 * MB), await begin(url, 'chunked')];
  const refused = async (): Promise<boolean> => {
    const answer = await rawRequest(url, [...head(3 * MB), 'Connection: close']);
    const { status, problem, head: headers } = parseAnswer(answer);
    if (status !== 503) return false;
    expect([problem['code'], headers]).toEqual(['server.busy', expect.stringContaining('retry-after: 1')]);
    return true;
  };
  await eventually(refused);
  // Small ones have room, and those of other addresses.
  expect(
    (
      await fetch(`${url}/v1/executions`, {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      })
    ).status,
  ).toBe(401);
  expect((await door.send('POST', '/v1/executions', aSubmission())).statusCode).toBe(202);
  for (const socket of held) socket.destroy();
  const again = await eventually(async () => {
    const socket = await begin(url, 4 * MB);
    const answered = new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true));
      setTimeout(() => resolve(false), 100);
    });
    return (await answered) ? null : socket;
  });
  again.destroy();
});

it('of all addresses are bounded, too', async () => {
  await using door = await startDoor({ budget: { allBytes: 4 * MB } });
  const url = await door.listen();
  const submitted = async () => (await door.send('POST', '/v1/executions', aSubmission())).statusCode;
  const held = await eventually(async () => {
    const socket = await begin(url, 4 * MB);
    let isRefused = false; // a small one was under way
    socket.once('data', () => {
      isRefused = true;
    });
    await eventually(async () => isRefused || (await submitted()) === 503);
    if (!isRefused) return socket;
    socket.destroy();
    return null;
  });
  held.destroy();
  await eventually(async () => (await submitted()) === 202);
});

it('that are signed count until their signature is checked', async () => {
  const body = JSON.stringify({ prompt: 'x'.repeat(1000) });
  await using door = await startDoor({ budget: { addressBytes: body.length + 100 } });
  const hold = Promise.withResolvers<never>();
  door.executions.answer = () => hold.promise;
  const asked = ['a', 'b', 'c'].map(async (nonce, index) => {
    await eventually(() => door.executions.executed.length === index);
    return door.execute(body, { nonce });
  });
  await eventually(() => door.executions.executed.length === 3);
  hold.reject(new Error('over'));
  expect((await Promise.all(asked)).map(({ statusCode }) => statusCode)).toEqual([500, 500, 500]);
});

it('of any bytes under a valid signature, and any headers, make no error of the server', async () => {
  await using door = await startDoor();
  const next = random(16);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T; // as: never empty
  const values = [null, -1, 1e308, '', 'x', '\u0000', '__proto__', [], {}, [[]], true, ID, 'é'.repeat(99)];
  const routes = [
    '/v1/executions',
    `/v1/executions/${ID}/cancel`,
    `/v1/executions/${ID}/cancel?x=%00`,
    '/execute',
  ];
  const bodies = [
    aSubmission(),
    { reason: 'cancelled', force: true },
    { prompt: 'Hello', args: ['--model', 'opus'], cwd: '/', timeout: 5 },
  ];

  /** The value with one of its parts replaced. */
  function spoiled(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || next() < 0.2) return pick(values);
    const copy: Record<string, unknown> = { ...value };
    const name = pick(Object.keys(copy).concat('more'));
    copy[name] = spoiled(copy[name]);
    return Array.isArray(value) ? Object.values(copy) : copy;
  }
  function bytesOf(value: unknown): string {
    const text = JSON.stringify(value) ?? '';
    const at = Math.floor(next() * text.length);
    return next() < 0.5
      ? text
      : text.slice(0, at) + pick(['', '"', '{', '\\', '\u0000', ',,']) + text.slice(at + 1);
  }
  const names = ['x-claude-timestamp', 'x-claude-signature', 'x-claude-nonce', 'content-type', 'accept'];

  for (let times = 0; times < 400; times++) {
    const body = bytesOf(spoiled(pick(bodies)));
    const url = pick(routes);
    const answer =
      url === '/execute'
        ? await door.execute(body, { nonce: `n${times}` })
        : await door.send('POST', url, body, (headers) =>
            next() < 0.8
              ? headers
              : { ...headers, [pick(names)]: pick(['', '1', 'é', ',', 'x'.repeat(999)]) },
          );
    expect([url, body, answer.statusCode < 500]).toEqual([url, body, true]);
    expect(() => answer.json()).not.toThrow();
  }
});
