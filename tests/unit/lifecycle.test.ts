import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Lifecycle, type Service, withLifecycle } from '../../src/lifecycle.ts';
import { createLogger } from '../../src/logger.ts';

async function setUp() {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  const happened: string[] = [];
  /** A service that records its starts and stops. */
  const service = (name: string, stop: () => Promise<void> | void = () => undefined): Service<string> => ({
    start: () => {
      happened.push(`start ${name}`);
      return name;
    },
    stop: async () => {
      happened.push(`stop ${name}`);
      await stop();
    },
  });
  const life = await withLifecycle(logger, async (created) => created);
  const start = (name: string, stop?: () => Promise<void> | void, deadlineMs?: number) =>
    life.start(name, service(name, stop), deadlineMs);
  const failures = () => lines.filter(({ level }) => level === 50);
  return { logger, life, happened, service, start, failures };
}

describe('the lifecycle', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('returns the result of a start, and stops the part last started first', async () => {
    const { life, happened, start } = await setUp();
    expect(await start('a')).toBe('a');
    life.onStop('b', () => void happened.push('stop b'));
    await start('c');
    await life.stop();
    expect(happened).toEqual(['start a', 'start c', 'stop c', 'stop b', 'stop a']);
  });

  it('stops a part only when the one before has stopped', async () => {
    const { life, happened, start } = await setUp();
    await start('a');
    const latch = Promise.withResolvers<void>();
    await start('b', () => latch.promise);
    const stopping = life.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(happened).not.toContain('stop a');
    latch.resolve();
    await stopping;
    expect(happened.at(-1)).toBe('stop a');
  });

  it('stops all parts when one does not start, that one too, and rejects with its error', async () => {
    const { logger, happened, service } = await setUp();
    const failure = new Error('no port');
    const building = withLifecycle(logger, async (life: Lifecycle) => {
      await life.start('a', service('a'));
      await life.start('b', { ...service('b'), start: () => Promise.reject(failure) });
    });
    await expect(building).rejects.toBe(failure);
    expect(happened).toEqual(['start a', 'stop b', 'stop a']);
  });

  it('stops all parts when something between them fails', async () => {
    const { logger, happened, service } = await setUp();
    const building = withLifecycle(logger, async (life: Lifecycle) => {
      await life.start('a', service('a'));
      throw new Error('no token');
    });
    await expect(building).rejects.toThrow('no token');
    expect(happened).toEqual(['start a', 'stop a']);
  });

  it('logs a stop that fails with its name, and stops the others', async () => {
    const { life, happened, start, failures } = await setUp();
    await start('a');
    await start('b', () => {
      throw new Error('thrown');
    });
    await start('c', () => Promise.reject(new Error('rejected')));
    await life.stop();
    expect(happened.slice(3)).toEqual(['stop c', 'stop b', 'stop a']);
    expect(failures()).toMatchObject([
      { part: 'c', reason: 'rejected' },
      { part: 'b', reason: 'thrown' },
    ]);
  });

  it('logs a part that exceeds its deadline and goes on; a later failure of that part is harmless', async () => {
    vi.useFakeTimers();
    const { life, happened, start, failures } = await setUp();
    const stuck = Promise.withResolvers<void>();
    await start('a');
    await start('b', () => stuck.promise, 3000);
    const stopping = life.stop();
    await vi.advanceTimersByTimeAsync(2999);
    expect(happened).not.toContain('stop a');
    await vi.advanceTimersByTimeAsync(1);
    await stopping;
    expect(happened.at(-1)).toBe('stop a');
    expect(failures()).toMatchObject([{ part: 'b', reason: 'still running after 3000 ms' }]);
    stuck.reject(new Error('too late'));
    await vi.advanceTimersByTimeAsync(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops once when it is asked twice, and both wait for the end', async () => {
    const { life, happened, start } = await setUp();
    const latch = Promise.withResolvers<void>();
    await start('a', () => latch.promise);
    const ended: number[] = [];
    const stops = [1, 2].map((n) => life.stop().then(() => ended.push(n)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toEqual([]);
    latch.resolve();
    await Promise.all(stops);
    await life.stop();
    expect(happened).toEqual(['start a', 'stop a']);
  });

  it('has nothing to stop when nothing was started', async () => {
    await (await setUp()).life.stop();
  });
});
