import { describe, expect, it } from 'vitest';
import { createIdleMemory, createRoom } from '../../../../src/executor/warm/room.ts';

const MB = 1024 * 1024;

const roomFor = (max: number, availableMemory: () => number) =>
  createRoom(max, createIdleMemory(availableMemory));

describe('room for processes that wait', () => {
  it('is there up to the maximum, and again when one has gone', () => {
    const room = roomFor(2, () => 100_000 * MB);
    const [first, second] = [{}, {}];
    room.add(first);
    expect(room.free()).toBe(true);
    room.add(second);
    expect(room.free()).toBe(false);
    room.remove(first);
    expect(room.free()).toBe(true);
    expect(room.size()).toBe(1);
  });

  it('is counted by kind, while all share the memory', () => {
    const memory = createIdleMemory(() => 1000 * MB);
    const [one, other] = [createRoom(1, memory), createRoom(1, memory)];
    one.add(memory);
    expect(one.free()).toBe(false);
    expect(other.free(), 'a quarter of 1,200 MB is room for one').toBe(false);
    one.remove(memory);
    expect(other.free()).toBe(true);
  });

  it('there is none with a maximum of nothing', () => {
    expect(roomFor(0, () => 100_000 * MB).free()).toBe(false);
  });

  it.each([
    [799, 0],
    [800, 1],
    // The first has taken 200 of them: two may have a quarter of what was free in the beginning.
    [1599, 1],
    [1600, 2],
    [4000, 5],
  ])('with %d MB free is for %d of 200 MB', (freeMb, count) => {
    let taken = 0;
    const room = roomFor(100, () => freeMb * MB - taken);
    while (room.free()) {
      room.add({});
      taken += 200 * MB;
    }
    expect(room.size()).toBe(count);
  });

  it('counts one that was looked at with what it holds', () => {
    const small = roomFor(100, () => 900 * MB);
    const holder = {};
    small.add(holder);
    expect(small.free(), 'guessed').toBe(false);
    const own = roomFor(100, () => 900 * MB);
    own.add(holder);
    own.measure(holder, process.pid);
    // This process is no CLI: what it holds is what /proc says.
    expect(own.free()).toBe(
      process.memoryUsage.rss() + 200 * MB <= (900 * MB + process.memoryUsage.rss()) / 4,
    );
  });
});
