import { describe, expect, it } from 'vitest';
import { createEventSink, type EventSink, type EventSinkOptions } from '../../../src/executor/event-sink.ts';
import type { Appended, TimedEvent } from '../../../src/records/ports.ts';
import { eventually } from '../../helpers/eventually.ts';

interface Append {
  readonly from: number;
  readonly texts: readonly string[];
  /** Lets the append come to its end. */
  answer(taken: boolean | Appended): void;
  fail(): void;
}

const textOf = ({ event }: TimedEvent): string => ('text' in event ? event.text : event.kind);

/** A sink whose appends the test answers one by one. */
function setUp(rest: Partial<EventSinkOptions> = {}) {
  const appends: Append[] = [];
  const flow: string[] = [];
  let clock = 0;
  const sink = createEventSink({
    append(from, events) {
      const { promise, resolve, reject } = Promise.withResolvers<Appended>();
      const answer = (taken: boolean | Appended): void =>
        resolve(typeof taken === 'string' ? taken : taken ? 'read' : 'fenced');
      const fail = (): void => reject(new Error('redis is away'));
      appends.push({ from, texts: events.map(textOf), answer, fail });
      return promise;
    },
    highWaterBytes: 1_000_000,
    onPause: () => void flow.push('pause'),
    onResume: () => void flow.push('resume'),
    now: () => {
      clock += 1;
      return clock;
    },
    ...rest,
  });
  /** The n-th append, once it was made. */
  const nth = async (n: number): Promise<Append> => {
    await eventually(() => expect(appends.length).toBeGreaterThanOrEqual(n), { intervalMs: 1 });
    const append = appends[n - 1];
    if (append === undefined) throw new Error('no such append');
    return append;
  };
  return { sink, appends, flow, nth };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

const say = (sink: EventSink, ...texts: string[]): void => {
  for (const text of texts) sink.push({ kind: 'text', text }, null);
};

describe('the sink of an execution', () => {
  it('what is said in one turn goes out together, without waiting', async () => {
    const { sink, nth } = setUp();
    say(sink, 'a', 'b', 'c');
    const first = await nth(1);
    expect(first).toMatchObject({ from: 0, texts: ['a', 'b', 'c'] });
    first.answer(true);
    expect(await sink.close()).toEqual({ from: 3, tail: [] });
  });

  it('events carry when they were said and the line they came from', async () => {
    const seen: TimedEvent[] = [];
    const { sink } = setUp({
      append: async (_from, events) => {
        seen.push(...events);
        return 'read';
      },
    });
    sink.push({ kind: 'text', text: 'a' }, '{"line":1}');
    sink.push({ kind: 'reasoning', text: 'b' }, null);
    await eventually(() => expect(seen).toHaveLength(2));
    expect(seen).toEqual([
      { event: { kind: 'text', text: 'a' }, raw: '{"line":1}', at: 1 },
      { event: { kind: 'reasoning', text: 'b' }, raw: null, at: 2 },
    ]);
  });

  it('one append at a time, in order; events that arrive during it are the next batch', async () => {
    const { sink, appends, nth } = setUp();
    say(sink, 'a');
    const first = await nth(1);
    say(sink, 'b');
    say(sink, 'c');
    await new Promise((resolve) => setImmediate(resolve));
    expect(appends).toHaveLength(1);
    first.answer(true);
    expect(await nth(2)).toMatchObject({ from: 1, texts: ['b', 'c'] });
    (await nth(2)).answer(true);
    await sink.close();
    expect(appends).toHaveLength(2);
  });

  it('an event at any moment after an append is appended without another one', async () => {
    for (let turns = 0; turns < 12; turns += 1) {
      const { sink, nth } = setUp();
      say(sink, 'a');
      (await nth(1)).answer(true);
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
      say(sink, 'b');
      const second = await nth(2);
      expect(second, `after ${turns} turns`).toMatchObject({ from: 1, texts: ['b'] });
      second.answer(true);
      await sink.close();
    }
  });

  it('a batch holds at most 500 events, and is cut where it gets large', async () => {
    const { sink, nth } = setUp({ highWaterBytes: 100_000_000 });
    say(sink, ...Array.from({ length: 501 }, (_, i) => String(i)));
    const first = await nth(1);
    expect(first.texts).toHaveLength(500);
    first.answer(true);
    const second = await nth(2);
    expect(second).toMatchObject({ from: 500, texts: ['500'] });
    const large = 'x'.repeat(300_000);
    say(sink, large, large, 'y'.repeat(2_000_000), 'z');
    second.answer(true);
    const sizes: number[] = [];
    for (let n = 3; n <= 6; n += 1) {
      const append = await nth(n);
      sizes.push(append.texts.length);
      append.answer(true);
    }
    expect(sizes).toEqual([1, 1, 1, 1]);
    expect(await sink.close()).toEqual({ from: 505, tail: [] });
  });

  it('while appending fails the events stay in order, and the same batch is tried again', async () => {
    const { sink, nth } = setUp();
    say(sink, 'a');
    (await nth(1)).fail();
    say(sink, 'b');
    (await nth(2)).fail();
    const third = await nth(3);
    expect((await nth(2)).from).toBe(0);
    expect(third).toMatchObject({ from: 0, texts: ['a', 'b'] });
    third.answer(true);
    say(sink, 'c');
    const fourth = await nth(4);
    expect(fourth).toMatchObject({ from: 2, texts: ['c'] });
    fourth.answer(true);
    expect(await sink.close()).toEqual({ from: 3, tail: [] });
  });

  it('closing during an append waits for it, and gives what is not known to be appended', async () => {
    const { sink, nth, appends } = setUp();
    say(sink, 'a');
    const first = await nth(1);
    say(sink, 'b', 'c');
    const closing = sink.close();
    first.answer(true);
    const { from, tail } = await closing;
    expect(from).toBe(1);
    expect(tail.map(textOf)).toEqual(['b', 'c']);
    expect(appends).toHaveLength(1);
  });

  it('closing while an append fails gives its events too', async () => {
    const { sink, nth } = setUp();
    say(sink, 'a', 'b');
    const first = await nth(1);
    const closing = sink.close();
    first.fail();
    const { from, tail } = await closing;
    expect(from).toBe(0);
    expect(tail.map(textOf)).toEqual(['a', 'b']);
  });

  it('closing between two attempts does not wait for the next one', async () => {
    const { sink, nth, appends } = setUp();
    say(sink, 'a');
    (await nth(1)).fail();
    await new Promise((resolve) => setImmediate(resolve));
    const { from, tail } = await sink.close();
    expect([from, tail.map(textOf)]).toEqual([0, ['a']]);
    expect(appends).toHaveLength(1);
  });

  it('events wait for more without a reader, and do not wait with one', async () => {
    const { sink, appends, nth } = setUp({ unreadMs: { first: 5, later: 3_600_000 } });
    say(sink, 'a');
    (await nth(1)).answer('read');
    say(sink, 'b');
    (await nth(2)).answer('unread');
    await turn();
    say(sink, 'c');
    await turn();
    say(sink, 'd');
    await turn();
    expect(appends).toHaveLength(2);
    const { from, tail } = await sink.close();
    expect([from, tail.map(textOf)]).toEqual([2, ['c', 'd']]);
  });

  it('what a CLI says and is over at once needs no append of its own', async () => {
    const { sink, appends } = setUp({ unreadMs: { first: 3_600_000, later: 3_600_000 } });
    say(sink, 'a');
    await turn();
    say(sink, 'b');
    const { from, tail } = await sink.close();
    expect([from, tail.map(textOf)]).toEqual([0, ['a', 'b']]);
    expect(appends).toEqual([]);
  });

  it('events without a reader are appended when they fill a batch, by number or by size', async () => {
    for (const texts of [Array.from({ length: 500 }, String), ['x'.repeat(600_000)]]) {
      const { sink, nth } = setUp({ unreadMs: { first: 3_600_000, later: 3_600_000 } });
      say(sink, 'first');
      await turn();
      say(sink, ...texts);
      const append = await nth(1);
      expect(append).toMatchObject({ from: 0 });
      append.answer('unread');
      await sink.close();
    }
  });

  it('a sink that was never used closes with nothing', async () => {
    expect(await setUp().sink.close()).toEqual({ from: 0, tail: [] });
  });

  it('an execution that is no longer the current one appends nothing more', async () => {
    const { sink, appends, nth } = setUp();
    say(sink, 'a');
    (await nth(1)).answer(false);
    await new Promise((resolve) => setImmediate(resolve));
    say(sink, 'b');
    await new Promise((resolve) => setImmediate(resolve));
    expect(appends).toHaveLength(1);
    expect((await sink.close()).from).toBe(0);
  });

  it('above the high water the source pauses once, and resumes once half of it is gone', async () => {
    const { sink, flow, nth } = setUp({ highWaterBytes: 1_000_000 });
    say(sink, 'x'.repeat(400_000), 'x'.repeat(400_000));
    expect(flow).toEqual([]);
    say(sink, 'x'.repeat(400_000), 'x'.repeat(400_000));
    expect(flow).toEqual(['pause']);
    (await nth(1)).answer(true);
    await nth(2);
    expect(flow).toEqual(['pause']);
    (await nth(2)).answer(true);
    await nth(3);
    expect(flow).toEqual(['pause']);
    (await nth(3)).answer(true);
    (await nth(4)).answer(true);
    await sink.close();
    expect(flow).toEqual(['pause', 'resume']);
  });

  it('raw lines, tool output and unknown lines weigh too', () => {
    for (const push of [
      (sink: EventSink) => sink.push({ kind: 'text', text: '' }, 'x'.repeat(2000)),
      (sink: EventSink) =>
        sink.push(
          { kind: 'tool.ended', toolId: 't', name: null, isError: false, output: 'x'.repeat(2000) },
          null,
        ),
      (sink: EventSink) => sink.push({ kind: 'raw', line: 'x'.repeat(2000) }, null),
    ]) {
      const { sink, flow } = setUp({ highWaterBytes: 1000 });
      push(sink);
      expect(flow).toEqual(['pause']);
    }
  });

  it('while Redis is away the source goes on: its output cap bounds what gathers', async () => {
    const { sink, flow, nth } = setUp({ highWaterBytes: 1000 });
    say(sink, 'x'.repeat(2000));
    expect(flow).toEqual(['pause']);
    (await nth(1)).fail();
    await eventually(() => expect(flow).toEqual(['pause', 'resume']));
    say(sink, 'x'.repeat(2000));
    expect(flow).toEqual(['pause', 'resume']);
    (await nth(2)).answer(true);
    await sink.close();
  });

  it('a source that was paused for an execution that is over is let go', async () => {
    const { sink, flow, nth } = setUp({ highWaterBytes: 1000 });
    say(sink, 'x'.repeat(2000));
    (await nth(1)).answer(false);
    await eventually(() => expect(flow).toEqual(['pause', 'resume']));
    await sink.close();
  });
});
