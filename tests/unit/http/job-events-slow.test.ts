import { once } from 'node:events';
import { expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../../helpers/eventually.ts';
import { asCaller, startHttp } from './harness.ts';
import { finish, idIn, withEvents } from './job-with-events.ts';
import { dial } from './raw-socket.ts';

const EVENTS = 300;
/** Together more than lies in the buffers between a server and a reader that does not read. */
const TEXT = 'x'.repeat(60_000);

/** Reads a stream of server-sent events from a connection of its own, and keeps the ids alone. */
async function idsOf(server: string, path: string) {
  const socket = await dial(server);
  const ids: number[] = [];
  let rest = '';
  socket.setEncoding('latin1').on('data', (chunk) => {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('id: ')) ids.push(Number(line.slice(4)));
  });
  const { authorization } = asCaller;
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: ${authorization}\r\n\r\n`,
  );
  return { ids, socket, closed: once(socket, 'close') };
}

test('a slow reader among quick ones gets every event, and does not delay the others', async () => {
  await using http = await startHttp();
  const path = await withEvents(http, false);
  const server = await http.listen();
  const [slow, ...quick] = await Promise.all([1, 2, 3, 4].map(() => idsOf(server, path)));
  if (slow === undefined) throw new Error('there is no reader');
  await eventually(() => [slow, ...quick].every(({ ids }) => ids.at(-1) === 4));
  await eventually(() => http.events.readers === 4);

  slow.socket.pause();
  for (let sent = 1; sent <= EVENTS; sent += 1) {
    http.events.publish(idIn(path), { kind: 'text', text: TEXT });
    if (sent % 20 === 0) await eventually(() => quick.every(({ ids }) => ids.at(-1) === 4 + sent));
  }
  expect(slow.ids).toEqual([1, 2, 4]);

  slow.socket.resume();
  finish(http, idIn(path));
  await Promise.all([slow, ...quick].map(({ closed }) => closed));
  const all = [1, 2, ...Array.from({ length: EVENTS + 2 }, (_, index) => index + 4)];
  for (const { ids } of [slow, ...quick]) expect(ids).toEqual(all);
});

test('a reader that takes nothing is cut, and counted', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  await using http = await startHttp();
  const path = await withEvents(http, false);
  const { socket, closed } = await idsOf(await http.listen(), path);
  await eventually(() => http.events.readers === 1);
  socket.pause();
  for (let sent = 1; sent <= 5; sent += 1)
    http.events.publish(idIn(path), { kind: 'text', text: TEXT.repeat(60) });
  await eventually(() => {
    vi.advanceTimersByTime(5000);
    return http.counted('bullpen_slow_readers_total') === 1;
  });
  socket.resume();
  await closed;
});
