import { expect, test } from 'vitest';
import { createLogger } from '../../src/logger.ts';
import { createOutage, supervise } from '../../src/outage.ts';

function setUp() {
  let now = 0;
  const logged: { level: number; reason?: string }[] = [];
  const logger = createLogger('info', { write: (line) => void logged.push(JSON.parse(line)) });
  const outage = createOutage('part', logger, () => now);
  return {
    outage,
    logged,
    wait(ms: number) {
      now += ms;
    },
  };
}

test('an outage is logged when it begins, once a minute, for each new reason, and when it ends', () => {
  const { outage, logged, wait } = setUp();
  for (let second = 0; second < 90; second += 1) {
    outage.failed(`pid ${second} ended`);
    wait(1000);
  }
  expect(logged).toHaveLength(2);
  outage.failed('the disk is full');
  expect(logged.at(-1)).toMatchObject({ level: 50, part: 'part', reason: 'the disk is full' });
  expect(outage.problem()).toBe('the disk is full');
  outage.worked();
  outage.worked();
  expect(outage.problem()).toBeNull();
  expect(logged.map(({ level }) => level)).toEqual([50, 50, 50, 30]);
});

test('a process that ends or does not start is started again until the supervision stops', async () => {
  const { outage, wait } = setUp();
  const stopping = new AbortController();
  const started: number[] = [];
  let starts = 0;
  const supervision = supervise<number>({
    first: 0,
    ended: async (one) => (one < 30 ? `${one} ended` : new Promise(() => {})),
    async start() {
      starts += 1;
      wait(120_000); // no row of failures, so no long pauses
      if (starts % 2 === 0) throw new Error('no memory');
      return starts;
    },
    onStarted: (one) => void started.push(one),
    outage: { ...outage, pause: async () => undefined },
    signal: stopping.signal,
  });
  await expect.poll(() => started.at(-1)).toBe(31);
  expect(outage.problem()).toBeNull();
  stopping.abort();
  await supervision;
});
