import { setTimeout as pause } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { createMetrics } from '../../../src/status/metrics.ts';

const metrics = () =>
  createMetrics({
    jobsByStatus: async () => ({ queued: 0 }),
    queue: async () => ({ pending: 0, nodes: 1 }),
    damage: { counts: () => ({ job: 0, batch: 0, event: 0, log: 0, row: 0 }) },
    executor: {
      status: () => ({ running: 0, limit: 5, accepting: true }),
      starts: () => ({ started: { cold: 0, warm: 0, session: 0 }, waiting: 0, sessions: 0 }),
    },
  });

const lagOf = (text: string): number =>
  Number(/^nodejs_eventloop_lag_seconds\{quantile="0.99"\} (\S+)$/m.exec(text)?.[1]);

it('a loop that was late is reported by the next scrape and by no later one', async () => {
  const { render, stop } = metrics();
  await pause(60); // the first sample
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  await pause(60);
  expect(lagOf(await render())).toBeGreaterThan(0.2);
  expect(lagOf(await render())).toBeLessThan(0.2);
  stop();
});
