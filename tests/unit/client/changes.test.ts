import { expect, test } from 'vitest';
import type { ChangesOptions } from '../../../src/client/events.ts';
import { type Answer, clientOf, problem, startScriptedServer } from './scripted-server.ts';

const frame = (kind: string, cursor: string): string =>
  `event: ${kind}\nid: ${cursor}\ndata: ${JSON.stringify({ kind, cursor })}\n\n`;

/** A stream of these frames, which then ends. */
const broken =
  (...frames: readonly string[]): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    // A reset could come before the client has read the frames.
    response.end(frames.join(''));
  };
const expired = problem(410, 'events.expired');

/** The cursors of all changes until the stream fails, and with which code. */
async function follow(url: string, options?: ChangesOptions) {
  const cursors: string[] = [];
  try {
    for await (const { cursor } of clientOf(url).changes(options)) cursors.push(cursor);
    return { cursors, code: null };
  } catch (error) {
    return { cursors, code: error instanceof Error && 'code' in error ? error.code : null };
  }
}

test('changes are read over many connections, each time after the last cursor', async () => {
  const server = await startScriptedServer(
    broken(frame('cursor', '1-0'), frame('job.created', '2-0'), frame('job.changed', '3-0').slice(0, 30)),
    broken(frame('cursor', '2-0'), frame('job.changed', '3-0')),
    expired,
  );
  const options: ChangesOptions = { after: '0', status: ['failed', 'queued'], batch: 'B' };
  const { cursors, code } = await follow(server.url, options);
  expect([cursors, code]).toEqual([['1-0', '2-0', '2-0', '3-0'], 'events.expired']);
  expect(server.requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2-0', '3-0']);
  for (const { url } of server.requests) {
    expect(url.pathname).toBe('/v1/events');
    expect([...url.searchParams]).toEqual([
      ['after', '0'],
      ['status', 'failed'],
      ['status', 'queued'],
      ['batch', 'B'],
    ]);
  }
});

test('data without a cursor is no change: the stream is read again', async () => {
  const server = await startScriptedServer(broken('data: {"kind":"cursor"}\n\n'), expired);
  expect(await follow(server.url)).toEqual({ cursors: [], code: 'events.expired' });
});
