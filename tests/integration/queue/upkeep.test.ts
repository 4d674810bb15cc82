import { ulid } from 'ulid';
import { expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/logger.ts';
import type { QueueEntry } from '../../../src/queue/prompt-queue.ts';
import { createUpkeepLoop } from '../../../src/queue/upkeep.ts';
import { newJob } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { testStore } from '../store/test-store.ts';

const SOON_MS = 15_000;
const LONG_MS = 5 * 60_000;
const MAX_QUEUED = 10;
const LOST_AFTER_MS = 120_000;

const server = useTestRecords();

/** A loop over the records, and a queue that has lost all its entries. */
async function setUp(inTouchForMs = () => 0) {
  const rpc = server.make();
  const upkeep = rpc.upkeepOf('n1');
  const has = new Set<string>();
  const passes = { begun: 0 };
  const queue = {
    refuses: null as string | null,
    tidy: async () => undefined,
    forgetOlder: async () => undefined,
    giveBackTaken: async () => undefined,
    async doubtful(ids: readonly string[]) {
      if (queue.refuses === 'all') throw new AppError('redis.refused', 'NOPERM');
      return ids.filter((id) => !has.has(id));
    },
    async ensure({ id }: QueueEntry) {
      if (queue.refuses === id) throw new AppError('redis.refused', 'NOPERM');
      if (has.has(id)) return false;
      has.add(id);
      return true;
    },
  };
  const loop = createUpkeepLoop({
    upkeep: {
      ...upkeep,
      async counts() {
        passes.begun += 1; // the last step of a pass
        return upkeep.counts();
      },
    },
    records: rpc.records,
    queue,
    store: await testStore(),
    everyMs: 5,
    maxQueued: MAX_QUEUED,
    nodeLostAfterMs: LOST_AFTER_MS,
    keepJobsMs: 1,
    keepEventsMs: 1,
    keepUsageMs: 1,
    inTouchForMs,
    logger: createLogger('silent'),
  });
  await loop.start();
  onTestFinished(() => loop.stop());
  const pass = async (): Promise<void> => {
    const before = passes.begun;
    await eventually(() => passes.begun > before + 1);
  };
  return {
    queue,
    has,
    pass,
    admit: loop.admit,
    rpc,
    async lost(): Promise<string> {
      const { id } = newJob();
      await rpc.records.create(newJob({}, { id }));
      return id;
    },
    async advance(ms: number) {
      await rpc.advance(ms);
      await pass();
    },
  };
}

it('a check that fails is made again soon; a job that the queue has is left alone for long', async () => {
  const { queue, has, lost, advance } = await setUp();
  const id = await lost();
  queue.refuses = 'all';
  await advance(SOON_MS + 1000);
  queue.refuses = null;
  expect(has).toEqual(new Set());
  await advance(SOON_MS);
  expect(has).toEqual(new Set([id]));
  await advance(SOON_MS); // seen to be there
  has.clear();
  await advance(LONG_MS - 1000);
  expect(has).toEqual(new Set());
  await advance(2000);
  expect(has).toEqual(new Set([id]));
});

it('a job that cannot be enqueued affects neither the other jobs nor the later tasks', async () => {
  const { queue, has, lost, advance } = await setUp();
  const [bad, ...good] = [await lost(), await lost(), await lost()];
  queue.refuses = bad ?? ulid();
  await advance(SOON_MS + 1000);
  expect(has).toEqual(new Set(good));
  queue.refuses = null;
  await advance(SOON_MS);
  expect(has).toEqual(new Set([bad, ...good]));
});

it('a call is refused when, as last counted, more jobs would wait than may', async () => {
  const { admit, lost, pass } = await setUp();
  admit(MAX_QUEUED);
  expect(() => admit(MAX_QUEUED + 1)).toThrow(expect.objectContaining({ code: 'queue.full' }));
  await lost();
  await pass();
  expect(() => admit(MAX_QUEUED)).toThrow(expect.objectContaining({ code: 'queue.full' }));
});

it('a silent server loses its jobs only when this one was in touch with Redis for as long', async () => {
  let inTouchMs = 0;
  const { rpc, pass, lost, advance } = await setUp(() => inTouchMs);
  const id = await lost();
  await rpc.submissions.submit(id, ulid());
  await rpc.claimsOf('n2').renew(await rpc.claimsOf('n2').claim(1));
  await advance(LOST_AFTER_MS * 2);
  const status = async () => (await rpc.records.read(id))?.status;
  expect(await status()).toBe('running');
  inTouchMs = LOST_AFTER_MS - 1;
  await pass();
  expect(await status()).toBe('running');
  inTouchMs = LOST_AFTER_MS;
  await pass();
  expect(await status()).toBe('failed');
});
