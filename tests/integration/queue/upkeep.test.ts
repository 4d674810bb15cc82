import { ulid } from 'ulid';
import { expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/logger.ts';
import { createUpkeepLoop } from '../../../src/queue/upkeep.ts';
import { CANCELLED, newJob } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { testStore } from '../store/test-store.ts';

/** After this time a sweep names a job again. */
const AGAIN_MS = 2000;
const MAX_QUEUED = 10;
const LOST_AFTER_MS = 120_000;

const server = useTestRecords();

/** A loop over the records, and a queue that delivers nothing. */
async function setUp(inTouchForMs = () => 0) {
  const rpc = server.make();
  const upkeep = rpc.upkeepOf('n1');
  const passes = { begun: 0 };
  /** What BullMQ was asked to deliver. */
  const delivered = new Set<string>();
  const entries = new Set<string>();
  const queue = {
    refuses: null as string | null,
    forgetOlder: async () => undefined,
    giveBackTaken: async () => undefined,
    async deliver(id: string) {
      if (queue.refuses === id) throw new AppError('redis.refused', 'NOPERM');
      delivered.add(id);
    },
    async remove(id: string) {
      if (queue.refuses === id) return false; // a worker holds it
      entries.delete(id);
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
    queue,
    store: await testStore(),
    everyMs: 5,
    maxQueued: MAX_QUEUED,
    nodeLostAfterMs: LOST_AFTER_MS,
    keepJobsMs: 1,
    keepEventsMs: 1,
    keepUsageMs: 1,
    trimAudit: async () => undefined,
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
    delivered,
    entries,
    pass,
    admit: loop.admit,
    rpc,
    async create(): Promise<string> {
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

it('a job that was let through is delivered again until it is submitted', async () => {
  const { rpc, delivered, create, advance } = await setUp();
  const id = await create();
  await rpc.claimsOf('n1').claim(1);
  await advance(AGAIN_MS);
  expect(delivered).toEqual(new Set([id]));
  delivered.clear();
  await advance(AGAIN_MS);
  expect(delivered).toEqual(new Set([id]));
  await rpc.deliver([id]);
  delivered.clear();
  await advance(AGAIN_MS);
  expect(delivered).toEqual(new Set());
});

it('a job that cannot be delivered affects neither the other jobs nor the later tasks', async () => {
  const { rpc, queue, delivered, create, advance } = await setUp();
  const [bad, ...good] = [await create(), await create(), await create()];
  await rpc.claimsOf('n1').claim(3);
  queue.refuses = bad ?? ulid();
  await advance(AGAIN_MS);
  expect(delivered).toEqual(new Set(good));
  queue.refuses = null;
  await advance(AGAIN_MS);
  expect(delivered).toEqual(new Set([bad, ...good]));
});

it('the entry of a job that ended before it ran is removed, also when a worker held it first', async () => {
  const { rpc, queue, entries, create, advance } = await setUp();
  const id = await create();
  entries.add(id);
  queue.refuses = id;
  await rpc.records.cancel(id, false, CANCELLED);
  await advance(AGAIN_MS);
  expect(entries).toEqual(new Set([id]));
  queue.refuses = null;
  await advance(AGAIN_MS);
  expect(entries).toEqual(new Set());
  entries.add(id); // another entry of that name is no longer looked for
  await advance(AGAIN_MS);
  expect(entries).toEqual(new Set([id]));
});

it('a call is refused when, as last counted, more jobs would wait than may', async () => {
  const { admit, create, pass } = await setUp();
  admit(MAX_QUEUED);
  expect(() => admit(MAX_QUEUED + 1)).toThrow(expect.objectContaining({ code: 'queue.full' }));
  await create();
  await pass();
  expect(() => admit(MAX_QUEUED)).toThrow(expect.objectContaining({ code: 'queue.full' }));
});

it('a silent server loses its jobs only when this one was in touch with Redis for as long', async () => {
  let inTouchMs = 0;
  const { rpc, pass, create, advance } = await setUp(() => inTouchMs);
  const id = await create();
  await rpc.claimsOf('n2').renew(await rpc.claim('n2', 1));
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
