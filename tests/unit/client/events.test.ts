import { describe, expect, it } from 'vitest';
import type { Client } from '../../../src/client/client.ts';
import { ApiError, UnreachableError } from '../../../src/client/errors.ts';
import type { EventsOptions } from '../../../src/client/events.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import { eventually } from '../../helpers/eventually.ts';
import { aJob } from './job.ts';
import { type Answer, clientOf, json, problem, reset, startScriptedServer } from './scripted-server.ts';

const eventOf = (seq: number, kind = seq === 9 ? 'job.finished' : 'text.delta'): object => ({
  seq,
  jobId: 'j',
  attempt: 1,
  at: '2026-11-21T07:00:00.000Z',
  kind,
  ...(kind === 'job.finished' ? { job: aJob() } : { text: `t${seq}` }),
});
const frame = (seq: number): string => {
  const data = JSON.stringify(eventOf(seq));
  return `event: text.delta\nid: ${seq}\ndata: ${data}\n\n`;
};

/** A stream of these pieces, then its end: in order, broken off, or none. */
const stream =
  (pieces: readonly string[], end: 'end' | 'break' | 'open' = 'end'): Answer =>
  async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const piece of ['retry: 2000\n\n', ...pieces]) {
      await new Promise((resolve) => response.write(piece, resolve));
    }
    if (end === 'end') response.end();
    if (end === 'break') response.socket?.resetAndDestroy();
  };
const nothingMore: Answer = (response) => void response.writeHead(204).end();

async function seqs(client: Client, options: EventsOptions = {}): Promise<number[]> {
  const seen: number[] = [];
  for await (const event of client.events('j', options)) seen.push(event.seq);
  return seen;
}

describe('the events of a job', () => {
  it('come one by one as they are, and end after job.finished although the connection stays', async () => {
    const server = await startScriptedServer(stream([frame(1), frame(2), frame(9)], 'open'));
    const events: StoredEvent[] = [];
    for await (const event of clientOf(server.url).events('j')) events.push(event);
    expect(events.map(({ seq, kind }) => [seq, kind])).toEqual([
      [1, 'text.delta'],
      [2, 'text.delta'],
      [9, 'job.finished'],
    ]);
    expect(events[0]).toEqual({ raw: null, ...eventOf(1) });
    await eventually(async () => (await server.connections()) === 0);
  });

  it('arrive while the stream is open, not at its end', async () => {
    const server = await startScriptedServer(stream([frame(1)], 'open'));
    const reader = clientOf(server.url).events('j');
    expect((await reader.next()).value).toMatchObject({ seq: 1 });
    await reader.return();
    // A reader that stops leaves no connection open.
    await eventually(async () => (await server.connections()) === 0);
  });

  it('are whole however the bytes were cut', async () => {
    const text = [frame(1), ': alive\n\n', frame(2), frame(9)].join('');
    const server = await startScriptedServer(stream([...text]));
    expect(await seqs(clientOf(server.url))).toEqual([1, 2, 9]);
  });

  it('start after a place, filtered, when the reader says so', async () => {
    const server = await startScriptedServer(stream([frame(9)]));
    await seqs(clientOf(server.url), { after: 4, kinds: ['text.delta', 'text'], raw: true });
    const [first] = server.requests;
    expect(first?.headers).toMatchObject({ accept: 'text/event-stream', 'last-event-id': '4' });
    expect(first?.url.searchParams.getAll('kinds')).toEqual(['text.delta', 'text']);
    expect(first?.url.searchParams.get('raw')).toBe('true');
  });

  it('are none when there is nothing after that place', async () => {
    const server = await startScriptedServer(nothingMore);
    expect(await seqs(clientOf(server.url), { after: 9 })).toEqual([]);
    expect(server.requests).toHaveLength(1);
  });
});

describe('a connection that breaks', () => {
  it('in the middle of an event is opened again after the last whole one: no gap, no duplicate', async () => {
    const half = frame(3).slice(0, 60);
    const server = await startScriptedServer(
      stream([frame(1), frame(2), half], 'break'),
      stream([frame(3), frame(4), frame(9)]),
    );
    const client = clientOf(server.url);
    expect(await seqs(client)).toEqual([1, 2, 3, 4, 9]);
    expect(server.requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2']);
    expect(client.waits).toEqual([10]);
  });

  it('wherever that is loses and doubles nothing', async () => {
    const text = [frame(1), frame(2), frame(9)].join('');
    for (let cut = 0; cut < text.length - 2; cut += 23) {
      const rest: Answer = (response, { headers }) => {
        const last = Number(headers['last-event-id'] ?? 0);
        return stream([1, 2, 9].filter((seq) => seq > last).map(frame))(
          response,
          server.requests[0] ?? expect.unreachable(),
        );
      };
      const server = await startScriptedServer(stream([text.slice(0, cut)], 'break'), rest);
      expect(await seqs(clientOf(server.url)), `cut at ${cut}`).toEqual([1, 2, 9]);
      await server.stop();
    }
  });

  it('in an orderly way but before job.finished is opened again too', async () => {
    const server = await startScriptedServer(stream([frame(1)]), stream([frame(2), frame(9)]));
    expect(await seqs(clientOf(server.url))).toEqual([1, 2, 9]);
  });

  it('and is answered with events the reader has already gives none of them twice', async () => {
    const server = await startScriptedServer(
      stream([frame(1), frame(2)], 'break'),
      stream([frame(1), frame(2), frame(3), frame(9)]),
    );
    expect(await seqs(clientOf(server.url))).toEqual([1, 2, 3, 9]);
  });

  it('after job.finished was lost on the way, and then 204, ends without it', async () => {
    const server = await startScriptedServer(stream([frame(1)], 'break'), nothingMore);
    expect(await seqs(clientOf(server.url))).toEqual([1]);
  });

  it('with garbage in it is read again from the last good event', async () => {
    const server = await startScriptedServer(
      stream([frame(1), 'data: {"seq":\n\n']),
      stream(['data: {"no":"number"}\n\n']),
      stream([frame(2), frame(9)]),
    );
    expect(await seqs(clientOf(server.url))).toEqual([1, 2, 9]);
  });

  it('and a server that is away for a moment are survived, each time with more patience', async () => {
    const away = problem(503, 'redis.unavailable');
    const server = await startScriptedServer(stream([frame(1)], 'break'), reset, away, stream([frame(9)]));
    const client = clientOf(server.url);
    expect(await seqs(client)).toEqual([1, 9]);
    expect(client.waits).toEqual([10, 20, 30]);
  });

  it('again and again is no reason to give up while something comes each time, be it a sign of life', async () => {
    const alive = stream([': alive\n\n'], 'break');
    const server = await startScriptedServer(alive, alive, alive, alive, alive, alive, stream([frame(9)]));
    const client = clientOf(server.url);
    expect(await seqs(client)).toEqual([9]);
    expect(client.waits).toEqual([10, 10, 10, 10, 10, 10]);
  });

  it('is opened again not before Retry-After', async () => {
    const busy = problem(429, 'execution.quota', {}, { 'retry-after': '7' });
    const server = await startScriptedServer(busy, stream([frame(9)]));
    const client = clientOf(server.url);
    await seqs(client);
    expect(client.waits).toEqual([7000]);
  });

  it('without a word, because the other side vanished, is given up and opened again', async () => {
    const server = await startScriptedServer((response, request) =>
      stream([frame(request.headers['last-event-id'] === '1' ? 9 : 1)], 'open')(response, request),
    );
    // Many tries: on a busy machine, the silence may be over before the first event comes.
    const resumeDelaysMs = Array<number>(200).fill(1);
    expect(await seqs(clientOf(server.url, { silenceMs: 50, resumeDelaysMs }))).toEqual([1, 9]);
  });
});

describe('giving up', () => {
  it('comes after as many tries in a row as there are delays', async () => {
    const server = await startScriptedServer(stream([]));
    const client = clientOf(server.url);
    await expect(seqs(client)).rejects.toBeInstanceOf(UnreachableError);
    expect(server.requests).toHaveLength(4);
    expect(client.waits).toEqual([10, 20, 30]);
  });

  it('reports a refused connection as such', async () => {
    const server = await startScriptedServer(reset);
    await server.stop();
    await expect(seqs(clientOf(server.url))).rejects.toMatchObject({ refused: true });
  });

  it.each([
    [401, 'auth.unauthenticated'],
    [404, 'job.not_found'],
    [406, 'request.not_acceptable'],
  ])('comes at once with %i', async (status, code) => {
    const server = await startScriptedServer(problem(status, code));
    await expect(seqs(clientOf(server.url))).rejects.toMatchObject({ status, code });
    expect(server.requests).toHaveLength(1);
  });

  it('comes at once with an answer that is no stream', async () => {
    const server = await startScriptedServer(json(200, {}));
    await expect(seqs(clientOf(server.url))).rejects.toBeInstanceOf(ApiError);
  });

  it('comes at once when the reader says so, with his reason, and closes the connection', async () => {
    const server = await startScriptedServer(stream([frame(1)], 'open'));
    const stop = new AbortController();
    const reader = clientOf(server.url).events('j', { signal: stop.signal });
    await reader.next();
    const next = reader.next();
    stop.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
    await eventually(async () => (await server.connections()) === 0);
  });
});
