import { afterEach, describe, expect, it, vi } from 'vitest';
import { createLifecycle } from '../../src/lifecycle.ts';
import { createLogger } from '../../src/logger.ts';

function setUp() {
  const lines: Record<string, unknown>[] = [];
  const life = createLifecycle(createLogger('debug', { write: (line) => void lines.push(JSON.parse(line)) }));
  const happened: string[] = [];
  /** A part that tells when it starts and stops. */
  const part = (name: string, stop: () => Promise<void> | void = () => undefined, deadlineMs?: number) =>
    life.phase(name, {
      start: () => {
        happened.push(`start ${name}`);
        return name;
      },
      stop: async (started) => {
        happened.push(`stop ${started}`);
        await stop();
      },
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
    });
  const failures = () => lines.filter(({ level }) => level === 50);
  return { life, happened, part, failures };
}

describe('the lifecycle', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('gives what a part starts to, and stops the last started first', async () => {
    const { life, happened, part } = setUp();
    expect(await part('a')).toBe('a');
    await part('b');
    await part('c');
    await life.stop();
    expect(happened).toEqual(['start a', 'start b', 'start c', 'stop c', 'stop b', 'stop a']);
  });

  it('one part has stopped before the next one is asked to', async () => {
    const { life, happened, part } = setUp();
    await part('a');
    const latch = Promise.withResolvers<void>();
    await part('b', () => latch.promise);
    const stopping = life.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(happened).not.toContain('stop a');
    latch.resolve();
    await stopping;
    expect(happened.at(-1)).toBe('stop a');
  });

  it('a start that fails stops what had started, and is told as it was thrown', async () => {
    const { life, happened, part } = setUp();
    await part('a');
    await part('b');
    const failure = new Error('no port');
    const failing = life.phase('c', {
      start: () => Promise.reject(failure),
      stop: () => void happened.push('stop c'),
    });
    await expect(failing).rejects.toBe(failure);
    expect(happened).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  it('a stop that fails is logged with its name, and the others still stop', async () => {
    const { life, happened, part, failures } = setUp();
    await part('a');
    await part('b', () => {
      throw new Error('thrown');
    });
    await part('c', () => Promise.reject(new Error('rejected')));
    await life.stop();
    expect(happened.slice(3)).toEqual(['stop c', 'stop b', 'stop a']);
    expect(failures()).toMatchObject([
      { phase: 'c', reason: 'rejected' },
      { phase: 'b', reason: 'thrown' },
    ]);
  });

  it('a part that outstays its deadline is logged and left behind; what it says later harms nobody', async () => {
    vi.useFakeTimers();
    const { life, happened, part, failures } = setUp();
    const stuck = Promise.withResolvers<void>();
    await part('a');
    await part('b', () => stuck.promise, 3000);
    const stopping = life.stop();
    await vi.advanceTimersByTimeAsync(2999);
    expect(happened).not.toContain('stop a');
    await vi.advanceTimersByTimeAsync(1);
    await stopping;
    expect(happened.at(-1)).toBe('stop a');
    expect(failures()).toMatchObject([{ phase: 'b', reason: 'still running after 3000 ms' }]);
    stuck.reject(new Error('too late'));
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stopping twice stops once, and both wait for the end', async () => {
    const { life, happened, part } = setUp();
    const latch = Promise.withResolvers<void>();
    await part('a', () => latch.promise);
    const ended: number[] = [];
    const stops = [1, 2].map((n) => life.stop().then(() => ended.push(n)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toEqual([]);
    latch.resolve();
    await Promise.all(stops);
    await life.stop();
    expect(happened).toEqual(['start a', 'stop a']);
  });

  it('nothing started is nothing to stop', async () => {
    await setUp().life.stop();
  });
});
