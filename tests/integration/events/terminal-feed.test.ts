/** The events of a terminal for its readers, over a real Redis; its screen is a fake. */
import { pino } from 'pino';
import { ulid } from 'ulid';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { createSessionFeed } from '../../../src/events/session-feed.ts';
import type { SessionStoredEvent } from '../../../src/protocol/event.ts';
import { randomOf } from '../../contracts/records/random.ts';
import { CREATED_AT } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { testStore } from '../store/test-store.ts';

const server = useTestRecords();
const SEED = 20_261_130;

/** A terminal whose screen is all that it has written, and any number of servers that show it. */
async function setUp(keep = 1000) {
  const rpc = server.make();
  const store = await testStore();
  const id = ulid();
  const terminals = rpc.terminalsOf('n1');
  let [text, seq, batch] = ['', 0, 0];
  let snapshots = 0;
  let busy: Promise<unknown> = Promise.resolve();
  let hasScreen = true;
  await rpc.sessions.create({
    ...{ id, kind: 'terminal', name: null, status: 'starting', project: 'default', principal: 'alice' },
    ...{
      options: { provider: 'claude', cwd: '/' },
      fork: null,
      node: 'n1',
      terminal: { cols: 80, rows: 24 },
    },
    ...{ tags: [], metadata: {}, createdAt: CREATED_AT },
    by: { id: 'alice', address: null, requestId: null },
  });
  seq = 1;

  /** Runs after what is under way, as in the one pipeline of a terminal. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const next = busy.then(task);
    busy = next.catch(() => undefined);
    return next;
  }

  return {
    ...{ rpc, id, store, terminals },
    text: () => text,
    lastSeq: () => seq,
    snapshots: () => snapshots,
    loseScreen() {
      hasScreen = false;
    },
    write: (...pieces: readonly string[]) =>
      inTurn(async () => {
        let offset = text.length;
        const events = pieces.map((piece) => {
          const data = Buffer.from(piece).toString('base64');
          const event = { kind: 'terminal.output', offset, data } as const;
          offset += piece.length;
          return { at: CREATED_AT, event };
        });
        batch += 1;
        seq = await terminals.append(id, batch, events, Math.max(1, seq + pieces.length - keep));
        text += pieces.join('');
      }),
    move: (trigger: 'started' | 'idle') =>
      inTurn(async () => {
        await terminals.move(id, { trigger, reason: null, matchedLine: null });
        seq = (await rpc.sessions.read(id))?.lastSeq ?? 0;
      }),
    /** The feed of one more server. */
    feed: () =>
      createSessionFeed({
        ...{ sessions: rpc.sessions, records: rpc.records, store, doorbells: rpc.doorbells },
        ...{ liveSession: rpc.liveSession, liveChannel: rpc.liveChannel },
        readJob: () => Promise.reject(new Error('a terminal has no job')),
        snapshot: () =>
          inTurn(async () => {
            snapshots += 1;
            if (!hasScreen) throw new AppError('execution.node_unavailable', 'n1 is gone');
            const data = Buffer.from(text).toString('base64');
            return { seq, kind: 'terminal.screen', offset: text.length, cols: 80, rows: 24, data };
          }),
        logger: pino({ enabled: false }),
      }),
  };
}

type Feed = ReturnType<Awaited<ReturnType<typeof setUp>>['feed']>;

/** Reads until the test ends, and shows what a person would see. */
function follow(feed: Feed, id: string, after: number | null, known = '') {
  const events: SessionStoredEvent[] = [];
  const leaving = new AbortController();
  let [text, place] = [known, after ?? 0];
  const broken: string[] = [];
  const ended = (async () => {
    for await (const batch of feed.read(id, after, leaving.signal)) {
      events.push(...batch);
      for (const event of batch) {
        if (event.kind === 'terminal.screen') text = Buffer.from(event.data, 'base64').toString();
        else if (event.seq !== place + 1) broken.push(`${event.seq} after ${place}`);
        if (event.kind === 'terminal.output') text += Buffer.from(event.data, 'base64').toString();
        place = event.seq;
      }
    }
  })().catch((error: unknown) => error);
  const leave = async () => {
    leaving.abort();
    return ended;
  };
  onTestFinished(async () => {
    await leave();
  });
  return { events, broken, leave, ended, text: () => text, place: () => place };
}

describe('a reader of a terminal', () => {
  it('without a seq begins with the screen and gets each later event once', async () => {
    const { id, write, feed, lastSeq } = await setUp();
    await write('a', 'b');
    const reader = follow(feed(), id, null);
    await eventually(() => reader.events.length === 1);
    await write('c');
    await eventually(() => reader.place() === lastSeq());
    expect(reader.events).toMatchObject([
      { seq: 3, sessionId: id, kind: 'terminal.screen', offset: 2, data: 'YWI=' },
      { seq: 4, sessionId: id, kind: 'terminal.output', offset: 2, data: 'Yw==' },
    ]);
  });

  it('with a seq that is kept goes on there; with an older one it begins with the screen', async () => {
    const { id, write, feed, lastSeq, snapshots } = await setUp(5);
    for (const piece of 'abcdefghij') await write(piece);
    const kept = follow(feed(), id, lastSeq() - 5, 'abcde');
    await eventually(() => kept.place() === lastSeq());
    expect([kept.text(), snapshots(), kept.broken]).toEqual(['abcdefghij', 0, []]);
    for (const after of [0, 3]) {
      const late = follow(feed(), id, after);
      await eventually(() => late.place() === lastSeq());
      expect([late.text(), late.events.length]).toEqual(['abcdefghij', 1]);
    }
    const last = follow(feed(), id, lastSeq(), 'abcdefghij');
    await write('k');
    await eventually(() => last.place() === lastSeq());
    expect([last.text(), last.events.length]).toEqual(['abcdefghijk', 1]);
  });

  it('whose next events are gone while it waits gets the screen', async () => {
    const { id, write, feed, lastSeq, rpc } = await setUp(2);
    await write('a');
    const reader = follow(feed(), id, null);
    await eventually(() => reader.events.length === 1);
    await rpc.interrupt();
    await write(...'bcdefgh'); // more than is kept, in one step
    await eventually(() => reader.place() === lastSeq());
    expect(reader.text()).toBe('abcdefgh');
    expect(reader.broken).toEqual([]);
  });

  it('of one whose node is gone begins with an empty screen, and gets what is kept', async () => {
    const { id, write, feed, lastSeq, loseScreen } = await setUp(3);
    for (const piece of 'abcdef') await write(piece);
    loseScreen();
    for (const after of [null, 1]) {
      const reader = follow(feed(), id, after);
      await eventually(() => reader.place() === lastSeq());
      expect(reader.events[0]).toMatchObject({ kind: 'terminal.screen', offset: 2, data: '', cols: 80 });
      expect([reader.text(), reader.broken]).toEqual(['cdef', []]);
    }
  });

  it('after a loss of Redis goes on with the numbers that it has not seen', async () => {
    const { rpc, id, write, feed, lastSeq } = await setUp();
    await write('a', 'b');
    const copy = await rpc.sessions.read(id);
    await write('c', 'd');
    const reader = follow(feed(), id, 0);
    await eventually(() => reader.place() === lastSeq());
    const before = lastSeq();
    await rpc.loseSession(id);
    if (copy !== null) await rpc.sessions.restore(copy, []);
    await write('e');
    expect(lastSeq()).toBe(before + 1);
    await eventually(() => reader.place() === lastSeq());
    expect([reader.text(), reader.broken]).toEqual(['abcde', []]);
    const late = follow(feed(), id, 2);
    await eventually(() => late.place() === lastSeq());
    expect(late.text()).toBe('abcde');
  });

  it('that takes nothing is cut at 4 MiB and comes back to the screen; another one misses nothing', async () => {
    const { id, write, feed, text, lastSeq } = await setUp(20);
    const one = feed();
    const reader = follow(one, id, null);
    await eventually(() => reader.events.length === 1);
    const slow = one.read(id, null, new AbortController().signal)[Symbol.asyncIterator]();
    await slow.next();
    const large = 'x'.repeat(64 * 1024);
    for (let n = 0; n < 60; n += 1) {
      await write(large);
      await eventually(() => reader.place() === lastSeq());
    }
    // Some parts may have been on their way to it.
    const rest = async () => {
      for (;;) if ((await slow.next()).done === true) return;
    };
    await expect(rest()).rejects.toMatchObject({ code: 'request.timeout' });
    expect(reader.text()).toBe(text());
    const again = follow(one, id, 2);
    await eventually(() => again.place() === lastSeq());
    expect(again.text() === text()).toBe(true);
  });

  it('shares its events, and the screen at the same moment, with the others of its server', async () => {
    const { id, write, feed, lastSeq, snapshots } = await setUp();
    await write('a');
    const one = feed();
    const readers = Array.from({ length: 20 }, () => follow(one, id, null));
    await eventually(() => readers.every(({ events }) => events.length === 1));
    expect(new Set(readers.map(({ events }) => events[0])).size).toBe(snapshots());
    // A reader may still read what is stored when the first one comes.
    for (const piece of 'bc') {
      await write(piece);
      await eventually(() => readers.every((reader) => reader.place() === lastSeq()));
    }
    const [first] = readers;
    for (const { events } of readers) expect(events.at(-1)).toBe(first?.events.at(-1));
  });
});

it('1,000 readers that join two servers at random moments lose and repeat nothing', async () => {
  const JOINS = 1000;
  const WAVES = 50;
  const { id, write, move, feed, text, lastSeq } = await setUp(60);
  const random = randomOf(SEED);
  const feeds = [feed(), feed()];
  /** What there was after each event. */
  const history = new Map<number, string>([[1, '']]);
  const readers: ReturnType<typeof follow>[] = [];
  for (let wave = 0; wave < WAVES; wave += 1) {
    const joining = Array.from({ length: JOINS / WAVES }, async () => {
      const seqs = [...history.keys()];
      const after = random() < 0.4 ? null : (seqs[Math.floor(random() * seqs.length)] ?? null);
      const known = after === null ? '' : (history.get(after) ?? '');
      const [one, two] = feeds;
      const reader = follow((random() < 0.5 ? one : two) ?? feed(), id, after, known);
      readers.push(reader);
    });
    for (let n = 0; n < 4; n += 1) {
      const pieces = Array.from({ length: 1 + Math.floor(random() * 4) }, () => `${wave}.${n};`);
      await write(...pieces);
      history.set(lastSeq(), text());
    }
    if (random() < 0.3) {
      await move(random() < 0.5 ? 'started' : 'idle');
      history.set(lastSeq(), text());
    }
    await Promise.all(joining);
    const leaving = readers.filter(() => random() < 0.02);
    for (const reader of leaving) await reader.leave();
    for (const reader of leaving) {
      expect(text().startsWith(reader.text())).toBe(true);
      readers.splice(readers.indexOf(reader), 1);
    }
  }
  await eventually(() => readers.every((reader) => reader.place() === lastSeq()));
  for (const reader of readers) {
    expect(reader.broken).toEqual([]);
    expect(reader.text()).toBe(text());
  }
  expect(readers.length).toBeGreaterThan(JOINS / 2);
}, 120_000);
