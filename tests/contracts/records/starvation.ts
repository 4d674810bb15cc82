import { expect, it } from 'vitest';
import type { Claim } from '../../../src/records/ports.ts';
import type { TestRecords } from '../../helpers/redis-records.ts';
import { finishOf, newJob } from './samples.ts';

const JOBS = 2000;
const AT_ONCE = 1000;
const SLOTS = 4;
const CREDENTIAL = 'limited:work';
const HOUR_MS = 3_600_000;

/** Jobs of every kind that waits: urgent, delayed, in lanes, behind a usage limit. */
const many = (index: number) =>
  newJob(
    {
      priority: (index % 21) - 10,
      delayMs: index % 7 === 0 ? HOUR_MS : 0,
      concurrencyKey: index % 3 === 0 ? `lane ${index % 30}` : null,
      provider: index % 4 === 0 ? 'limited' : 'claude',
    },
    { principal: `principal ${index % 3}` },
  );

export function starvation(make: () => TestRecords): void {
  it(`${JOBS} jobs of a project delay the next job of another one by one running job`, async () => {
    const rpc = make();
    const node = rpc.claimsOf('n1');
    for (let from = 0; from < JOBS; from += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => rpc.records.create(many(from + at))));
    }
    await node.renew([], { limited: CREDENTIAL });
    const limit = {
      credential: CREDENTIAL,
      word: null,
      reason: 'quota',
      executionId: 'e',
      model: null,
    } as const;
    const [enteredAt, backoff] = [await rpc.now(), { firstMs: HOUR_MS, maxMs: HOUR_MS }];
    await rpc.gates.refuse({ ...limit, enteredAt, resetsAt: enteredAt + 2 * HOUR_MS, backoff });
    let running = [...(await rpc.claim('n1', SLOTS))];
    expect(running).toHaveLength(SLOTS);

    /** One running job ends; gives the job that has its slot. */
    async function next(): Promise<Claim> {
      const ended = running.shift() ?? expect.unreachable();
      await node.finish(finishOf(ended));
      const claims = await rpc.claim('n1', 1);
      running = [...running, ...claims];
      expect(running).toHaveLength(SLOTS);
      return claims[0] ?? expect.unreachable();
    }
    async function expectTurn(request: Parameters<typeof newJob>[0]): Promise<void> {
      const job = newJob(request, { project: 'other', principal: 'bob' });
      await rpc.records.create(job);
      expect((await next()).jobId).toBe(job.id);
      expect((await next()).principal).not.toBe('bob');
    }
    for (const priority of [-10, 0, 10]) await expectTurn({ priority });
    await expectTurn({ concurrencyKey: 'lane 0' });
    await expectTurn({ provider: 'other' });

    await rpc.advance(HOUR_MS);
    for (let swept = JOBS; swept > 0; swept = (await rpc.upkeepOf('n1').counts()).scheduled)
      await rpc.upkeepOf('n1').sweep(HOUR_MS, AT_ONCE);
    await expectTurn({ priority: -10 });

    expect(await rpc.gates.open(CREDENTIAL)).toBe(1);
    await expectTurn({ provider: 'limited', priority: -10 });
    await expectTurn({ priority: -10 });
  });
}
