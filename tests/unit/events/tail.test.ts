import { expect, it } from 'vitest';
import { createInbox, createTail } from '../../../src/events/tail.ts';
import { createLogger } from '../../../src/logger.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';

/** A tail of a stream whose events are 1, 2, 3 … up to `now.last`. */
function setUp() {
  const now = { last: 0, fails: false };
  const doorbells = createFakeDoorbells();
  const asked: PromiseWithResolvers<void>[] = [];
  const leaving = new AbortController();
  const tail = createTail<number, number>({
    ...{ channel: 'live', doorbells, pollMs: 60_000, pageSize: 100 },
    async newest() {
      const answer = Promise.withResolvers<void>();
      asked.push(answer);
      const { last } = now;
      await answer.promise;
      return last;
    },
    read: async (after) => Array.from({ length: now.last - after }, (_, index) => after + 1 + index),
    placeOf: (event) => event,
    onEnd: () => undefined,
    logger: createLogger('silent'),
  });
  const inbox = () => createInbox<number>(leaving.signal, 100);
  return { tail, now, asked, inbox, ring: () => doorbells.publish('live', '1') };
}

it('readers that join together miss no event that is appended meanwhile', async () => {
  const { tail, now, asked, inbox, ring } = setUp();
  const [one, two] = [inbox(), inbox()];
  const first = tail.join(one);
  await expect.poll(() => asked.length).toBe(1);
  now.last = 2;
  const second = tail.join(two);
  await Promise.resolve();
  for (const answer of asked) answer.resolve();
  await first;
  for (const answer of asked) answer.resolve();
  await second;
  expect(tail.place).toBe(0);
  now.last = 3;
  await ring();
  expect([await one.next(), await two.next()]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  for (const reader of [one, two]) await tail.leave(reader);
});

it('a place that could not be read is read again by the next reader', async () => {
  const { tail, now, asked, inbox } = setUp();
  const [one, two] = [inbox(), inbox()];
  const failed = tail.join(one);
  await expect.poll(() => asked.length).toBe(1);
  asked[0]?.reject(new Error('Redis is away'));
  await expect(failed).rejects.toThrow('Redis is away');
  now.last = 5;
  const joined = tail.join(two);
  await expect.poll(() => asked.length).toBe(2);
  asked[1]?.resolve();
  await joined;
  expect(tail.place).toBe(5);
  for (const reader of [one, two]) await tail.leave(reader);
});
