import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBootTurns } from '../../../../src/executor/warm/boot-turns.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Two processors, of whose time this much is idle. */
function open(idle = 0) {
  const load = { cores: 2, idle, idleShare: () => load.idle };
  const turns = createBootTurns(load);
  /** Who has got a turn, in order. */
  const started: string[] = [];
  const enter = (name: string, stop = never) =>
    turns.enter(stop).then((leave) => {
      started.push(leave === null ? `${name} was stopped` : name);
      return leave;
    });
  return { load, turns, started, enter };
}

describe('boots', () => {
  it('begin at once, as many as there are processors', async () => {
    const { turns, started, enter } = open();
    void enter('a');
    void enter('b');
    void enter('c');
    await pass(0);
    expect(started).toEqual(['a', 'b']);
    expect(turns.booting()).toBe(2);
  });

  it('take their turns in order, as others have booted', async () => {
    const { turns, started, enter } = open();
    const first = await enter('a');
    const leave = turns.begin(); // one that boots ahead counts too
    for (const name of ['b', 'c', 'd']) void enter(name);
    await pass(0);
    expect(started).toEqual(['a']);
    first?.();
    first?.(); // once is enough
    await pass(0);
    expect(started).toEqual(['a', 'b']);
    leave();
    await pass(0);
    expect(started).toEqual(['a', 'b', 'c']);
  });

  it('that leave the processors idle let others begin, two with each look', async () => {
    const { load, started, enter } = open();
    for (const name of ['a', 'b', 'c', 'd', 'e']) void enter(name);
    await pass(600);
    expect(started).toEqual(['a', 'b']);
    load.idle = 0.5;
    await pass(500);
    expect(started).toEqual(['a', 'b', 'c', 'd']);
    await pass(500);
    expect(started).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('keep nobody waiting longer than two seconds', async () => {
    const { started, enter } = open();
    for (const name of ['a', 'b', 'c', 'd', 'e']) void enter(name);
    await pass(1400);
    expect(started).toEqual(['a', 'b']);
    await pass(600);
    expect(started).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('count for five seconds at the most', async () => {
    const { turns, enter } = open();
    const leave = await enter('a');
    await pass(4900);
    expect(turns.booting()).toBe(1);
    await pass(200);
    expect(turns.booting()).toBe(0);
    leave?.();
    expect(turns.booting()).toBe(0);
  });

  it('do not begin for who is stopped meanwhile, and nobody loses a turn by it', async () => {
    const { turns, started, enter } = open();
    const first = await enter('a');
    await enter('b');
    const stop = new AbortController();
    void enter('c', stop.signal);
    void enter('d');
    stop.abort();
    void enter('e', stop.signal);
    await pass(0);
    expect(started).toEqual(['a', 'b', 'c was stopped', 'e was stopped']);
    first?.();
    await pass(0);
    expect(started.at(-1)).toBe('d');
    expect(turns.booting()).toBe(2);
  });

  it('leave no timer behind when nobody waits', async () => {
    const { enter } = open();
    const leaves = [await enter('a'), await enter('b')];
    void enter('c').then((leave) => leave?.());
    for (const leave of leaves) leave?.();
    await pass(1000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
