import { describe, expect, it } from 'vitest';
import { createJobWaits } from '../../../src/rpc/job-waits.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';

const CHANNEL = 'responses';
const HOUR = 3_600_000;
const forever = new AbortController().signal;

async function open() {
  const doorbells = createFakeDoorbells();
  const waits = createJobWaits(doorbells, CHANNEL);
  await waits.start();
  const ring = (jobId: string): void => {
    doorbells.send(CHANNEL, JSON.stringify({ v: 1, type: 'finished', jobId, status: 'succeeded' }));
  };
  return { doorbells, waits, ring };
}

describe('waiting for a job', () => {
  it('ends with a message about this job, not with one about another job', async () => {
    const { waits, ring } = await open();
    using wait = waits.listen('mine');
    let woken = 0;
    const next = wait.next(HOUR, forever).then(() => {
      woken += 1;
    });
    ring('other');
    await Promise.resolve();
    await Promise.resolve();
    expect(woken).toBe(0);
    ring('mine');
    await next;
    expect(woken).toBe(1);
  });

  it('ends at once when the sign came before `next`', async () => {
    const { waits } = await open();
    using wait = waits.listen('mine');
    waits.wake('mine');
    await wait.next(HOUR, forever);
  });

  it('ends when the same process wakes it', async () => {
    const { waits } = await open();
    using wait = waits.listen('mine');
    const next = wait.next(HOUR, forever);
    waits.wake('mine');
    await next;
  });
});
