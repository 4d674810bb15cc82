import { describe, expect, it } from 'vitest';
import { createJobWaits } from '../../../src/jobs/job-waits.ts';
import { createMemoryDoorbells } from '../../fakes/memory-records/doorbells.ts';

const CHANNEL = 'responses';
const HOUR = 3_600_000;
const forever = new AbortController().signal;

async function open() {
  const doorbells = createMemoryDoorbells();
  const waits = createJobWaits(doorbells, CHANNEL);
  await waits.start();
  const ring = (jobId: string): void => {
    doorbells.send(CHANNEL, JSON.stringify({ v: 1, type: 'finished', jobId, status: 'succeeded' }));
  };
  return { doorbells, waits, ring };
}

describe('waiting for a job', () => {
  it('ends with the message that it has ended, and with that of no other', async () => {
    const { waits, ring } = await open();
    using wait = waits.listen('mine');
    let heard = 0;
    const next = wait.next(HOUR, forever).then(() => {
      heard += 1;
    });
    ring('other');
    await Promise.resolve();
    await Promise.resolve();
    expect(heard).toBe(0);
    ring('mine');
    await next;
    expect(heard).toBe(1);
  });

  it('hears what came before it asked', async () => {
    const { waits } = await open();
    using wait = waits.listen('mine');
    waits.wake('mine');
    await wait.next(HOUR, forever);
  });

  it('ends when its outcome is on its way to the record', async () => {
    const { waits } = await open();
    using wait = waits.listen('mine');
    const next = wait.next(HOUR, forever);
    waits.wake('mine');
    await next;
  });
});

describe('a job that was just made', () => {
  const isQuiet = (waits: Awaited<ReturnType<typeof open>>['waits'], id: string): boolean => {
    using wait = waits.listen(id);
    return wait.quiet;
  };

  it('is quiet when it was expected and nothing was heard of it, for the first who asks', async () => {
    const { waits } = await open();
    waits.expect('mine');
    expect(isQuiet(waits, 'other')).toBe(false);
    expect(isQuiet(waits, 'mine')).toBe(true);
    expect(isQuiet(waits, 'mine')).toBe(false);
  });

  it('is not quiet when it has ended before anybody waited', async () => {
    const { waits, ring } = await open();
    waits.expect('mine');
    ring('mine');
    await Promise.resolve();
    expect(isQuiet(waits, 'mine')).toBe(false);
  });

  it('is not quiet when messages may have been lost', async () => {
    const { doorbells, waits } = await open();
    waits.expect('mine');
    doorbells.cut();
    doorbells.restore();
    expect(isQuiet(waits, 'mine')).toBe(false);
  });

  it('is forgotten when a thousand others were made and nobody waited', async () => {
    const { waits } = await open();
    waits.expect('mine');
    for (let i = 0; i < 1000; i += 1) waits.expect(`job ${i}`);
    expect(isQuiet(waits, 'mine')).toBe(false);
    expect(isQuiet(waits, 'job 0')).toBe(true);
  });
});
