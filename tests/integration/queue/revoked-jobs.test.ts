import { expect, it, onTestFinished } from 'vitest';
import type { JobGrant } from '../../../src/auth/job-grant.ts';
import { createLogger } from '../../../src/logger.ts';
import { OPEN_GRANT } from '../../../src/protocol/grant.ts';
import { createRevokedJobs } from '../../../src/queue/revoked-jobs.ts';
import type { NewJob } from '../../../src/records/ports.ts';
import { toJobCopy } from '../../../src/store/copy-source.ts';
import { newJob } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';
import { testStore } from '../store/test-store.ts';

const server = useTestRecords();
const grant = (key: string | null): JobGrant => ({ ...OPEN_GRANT, scopes: ['jobs:write'], key });

it('what a key has queued ends after its revocation, however many there are, and nothing else', async () => {
  const rpc = server.make();
  const store = await testStore();
  const asked: number[] = [];
  let ended: readonly string[] = [];
  const revoked = createRevokedJobs({
    keys: {
      endedSince(since) {
        asked.push(since);
        return ended;
      },
    },
    store,
    upkeep: rpc.upkeepOf('n1'),
    everyMs: 5,
    now: () => 1_000_000,
    logger: createLogger('silent'),
  });
  async function make(rest: Partial<NewJob>): Promise<string> {
    const job = newJob({}, rest);
    await rpc.records.create(job);
    const record = await rpc.records.read(job.id);
    const jobs = record === null ? [] : [toJobCopy(record, 0)];
    await store.run('copies.apply', { jobs, removed: [], cursor: null });
    return job.id;
  }
  const codeOf = async (id: string) => (await rpc.records.read(id))?.outcome?.error?.code ?? null;

  const own = await Promise.all(
    Array.from({ length: 250 }, () => make({ principal: 'key:K', grant: grant('K') })),
  );
  const older = await make({ principal: 'key:K', grant: null });
  const inside = await make({ principal: 'job:J', grant: grant('K') });
  const others = [
    await make({ principal: 'key:L', grant: grant('L') }),
    await make({ principal: 'admin', grant: grant(null) }),
    await make({}),
  ];
  await revoked.start();
  onTestFinished(() => revoked.stop());
  await eventually(() => asked.length > 2);
  expect(asked.slice(0, 2)).toEqual([0, 700_000]); // first all keys, then those of the last minutes
  expect(await codeOf(older)).toBeNull();
  ended = ['K'];
  for (const id of [...own, older, inside])
    await eventually(async () => (await codeOf(id)) === 'auth.revoked');
  expect(await Promise.all(others.map(codeOf))).toEqual([null, null, null]);
});
