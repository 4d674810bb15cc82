import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBootSlots } from '../../../../src/executor/warm/boot-slots.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Two slots. */
function open() {
  const slots = createBootSlots(2);
  /** The names that have got a slot, in order. */
  const started: string[] = [];
  const acquire = (name: string, stop = never) =>
    slots.acquire(stop).then((release) => {
      started.push(release === null ? `${name} was stopped` : name);
      return release;
    });
  return { slots, started, acquire };
}

describe('boot slots', () => {
  it('are given at once while there are any', async () => {
    const { slots, started, acquire } = open();
    for (const name of ['a', 'b', 'c']) void acquire(name);
    await pass(0);
    expect(started).toEqual(['a', 'b']);
    expect(slots.tryAcquire()).toBeNull();
  });

  it('are given in order when others are released', async () => {
    const { slots, started, acquire } = open();
    const first = await acquire('a');
    const second = slots.tryAcquire();
    for (const name of ['b', 'c', 'd']) void acquire(name);
    await pass(0);
    expect(started).toEqual(['a']);
    first?.();
    first?.(); // the second call does nothing
    await pass(0);
    expect(started).toEqual(['a', 'b']);
    second?.();
    await pass(0);
    expect(started).toEqual(['a', 'b', 'c']);
  });

  it('are kept for two seconds at most', async () => {
    const { started, acquire } = open();
    for (const name of ['a', 'b', 'c', 'd', 'e']) void acquire(name);
    await pass(1900);
    expect(started).toEqual(['a', 'b']);
    await pass(200);
    expect(started).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are not given to a start that is stopped', async () => {
    const { slots, started, acquire } = open();
    const first = await acquire('a');
    await acquire('b');
    const stop = new AbortController();
    void acquire('c', stop.signal);
    void acquire('d');
    stop.abort();
    void acquire('e', stop.signal);
    await pass(0);
    expect(started).toEqual(['a', 'b', 'c was stopped', 'e was stopped']);
    first?.();
    await pass(0);
    expect(started.at(-1)).toBe('d');
    expect(slots.tryAcquire()).toBeNull();
  });

  it('leave no timer behind', async () => {
    const { acquire } = open();
    const releases = [await acquire('a'), await acquire('b')];
    void acquire('c').then((release) => release?.());
    for (const release of releases) release?.();
    await pass(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});
