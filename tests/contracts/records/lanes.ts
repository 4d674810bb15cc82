import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import type { Claim } from '../../../src/records/ports.ts';
import type { Bench } from './bench.ts';
import {
  begun,
  CANCELLED,
  CREATED_AT,
  claimed,
  create,
  failed,
  finishOf,
  openNode,
  running,
  submitted,
  WAITS,
} from './samples.ts';

const SESSION = '01J00000000000000000000000';

export function lanes(bench: () => Bench): void {
  const claimIds = async (): Promise<readonly string[]> =>
    (await bench().claimsOf('n1').claim(100)).map(({ jobId }) => jobId);
  const finish = async (claim: Claim): Promise<void> => {
    expect(await bench().claimsOf('n1').finish(finishOf(claim))).toBe('finished');
  };

  for (const [what, request, reason] of [
    ['session', { sessionId: SESSION }, 'session'],
    ['concurrency key', { concurrencyKey: 'k' }, 'concurrency_key'],
  ] as const) {
    it(`jobs of one ${what} run one at a time, in the order of their creation`, async () => {
      const first = await create(bench(), request);
      const second = await create(bench(), request);
      const third = await create(bench(), request);
      for (const id of [third, second]) {
        expect(await bench().submissions.submit(id, ulid())).toEqual(WAITS);
        expect(await bench().record(id)).toMatchObject({ status: 'queued', waitReason: reason });
      }
      for (const id of [first, second, third]) {
        const claim = await claimed(bench(), id);
        expect(await claimIds()).toEqual([]);
        await finish(claim);
      }
    });
  }

  describe('a job that follows one of its session', () => {
    const FIRST = { delayMs: 60_000, concurrencyKey: 'k' };
    const follow = (id: string, delayMs = 0) => submitted(bench(), { sessionId: id, delayMs });
    async function begin(claim: Claim, node = 'n1'): Promise<void> {
      await bench()
        .claimsOf(node)
        .append(claim.jobId, claim.executionId, 0, [begun(claim.sessionId)]);
    }

    it.each([
      ['has not begun', {}],
      ['is delayed, and in a lane of its own', FIRST],
    ])('that %s, waits for its end', async (_what, request) => {
      const first = await create(bench(), request);
      const [second, third] = [await follow(first), await follow(first, 1)];
      expect(await bench().record(second)).toMatchObject({ status: 'queued', waitReason: 'session' });
      await bench().advance(120_000);
      await openNode(bench());
      await bench().submissions.submit(first, ulid());
      expect(await bench().submissions.submit(third, ulid())).toEqual(WAITS);
      for (const id of [first, second, third]) {
        const claim = await claimed(bench(), id);
        expect(await claimIds()).toEqual([]);
        await finish(claim);
      }
    });

    it('that runs, goes on at its end, on its node', async () => {
      const first = await running(bench());
      const second = await follow(first.jobId);
      await begin(first);
      expect(await bench().record(second)).toMatchObject({ waitReason: 'session', pin: null });
      await finish(first);
      expect(await bench().record(second)).toMatchObject({ waitReason: null, pin: 'n1' });
      const third = await follow(first.jobId);
      expect((await bench().record(third)).waitReason).toBe('session');
      expect(await bench().claimsOf('n2').claim(10)).toEqual([]);
      await finish(await claimed(bench(), second));
      expect(await bench().record(third)).toMatchObject({ waitReason: null, pin: 'n1' });
    });

    it('that ended a moment ago, goes to its node', async () => {
      const first = await running(bench());
      await begin(first);
      await finish(first);
      expect((await bench().record(await follow(first.jobId))).pin).toBe('n1');
    });

    it('that is cancelled before it ran, is free', async () => {
      const first = await create(bench());
      const second = await follow(first);
      await bench().records.cancel(first, false, CANCELLED);
      expect(await bench().record(second)).toMatchObject({ waitReason: null, pin: null });
    });

    it('that waits for a retry, waits too', async () => {
      const first = await running(bench(), { maxAttempts: 2 });
      const second = await follow(first.jobId);
      const outcome = failed(first.executionId, 'execution.overloaded');
      await bench()
        .claimsOf('n1')
        .finish(finishOf(first, { outcome, backoffMs: 60_000 }));
      expect((await bench().record(second)).waitReason).toBe('session');
      await bench().advance(20_000); // SWEEP looks whether the first one is still there
      await bench().upkeepOf('n1').sweep(1000, 100);
      expect((await bench().record(second)).waitReason).toBe('session');
    });
  });

  it('keys of different owners and other keys do not meet', async () => {
    const ids = [
      await submitted(bench(), { concurrencyKey: 'k' }, { principal: 'alice' }),
      await submitted(bench(), { concurrencyKey: 'k' }, { principal: 'bob' }),
      await submitted(bench(), { concurrencyKey: 'l' }, { principal: 'alice' }),
      await submitted(bench(), { sessionId: SESSION }),
      await submitted(bench()),
    ];
    expect(await claimIds()).toEqual(ids);
  });

  it('the next job is announced to the executors, and its record has no waitReason', async () => {
    const first = await submitted(bench(), { concurrencyKey: 'k' });
    const second = await submitted(bench(), { concurrencyKey: 'k' });
    const parked = await bench().record(second);
    await finish(await claimed(bench(), first));
    expect(await bench().record(second)).toMatchObject({ waitReason: null, rev: parked.rev + 1 });
    const bells = (await bench().published(bench().requestChannel)).map((message) => JSON.parse(message));
    expect(bells).toContainEqual({ v: 1, type: 'run', jobId: second });
  });

  it('the next one is admitted when the one ahead is cancelled, or expires', async () => {
    const cancelled = await submitted(bench(), { concurrencyKey: 'k' });
    const expired = await submitted(bench(), { concurrencyKey: 'k', ttlMs: 60_000 });
    const next = await create(bench(), { concurrencyKey: 'k' });
    const last = await submitted(bench(), { concurrencyKey: 'k' });
    const reasons = async (): Promise<readonly (string | null)[]> =>
      Promise.all([expired, last].map(async (id) => (await bench().record(id)).waitReason));
    expect(await reasons()).toEqual(['concurrency_key', 'concurrency_key']);
    await bench().records.cancel(cancelled, false, CANCELLED);
    expect(await reasons()).toEqual([null, 'concurrency_key']);
    await bench().advance(120_000);
    expect(await bench().upkeepOf('n1').expire(CANCELLED, 10)).toEqual([expired]);
    await bench().records.cancel(next, false, CANCELLED);
    expect(await claimIds()).toEqual([last]);
  });

  it('the next one is admitted when the one ahead is found expired at its claim', async () => {
    await submitted(bench(), { concurrencyKey: 'k', ttlMs: 60_000 });
    const next = await submitted(bench(), { concurrencyKey: 'k' });
    await bench().advance(120_000);
    expect(await claimIds()).toEqual([next]);
  });

  it('a job that leaves from the middle lets no other job pass', async () => {
    const first = await submitted(bench(), { concurrencyKey: 'k' });
    const middle = await submitted(bench(), { concurrencyKey: 'k' });
    const last = await submitted(bench(), { concurrencyKey: 'k' });
    const before = await bench().record(first);
    await bench().records.cancel(middle, false, CANCELLED);
    expect(await bench().record(first)).toEqual(before);
    const claim = await claimed(bench(), first);
    await bench().records.cancel(last, false, CANCELLED);
    expect(await claimIds()).toEqual([]);
    await finish(claim);
  });

  it('a job in two lanes waits for both, and says which one it waits for', async () => {
    const session = await submitted(bench(), { sessionId: SESSION });
    const key = await submitted(bench(), { concurrencyKey: 'k' });
    const both = await submitted(bench(), { sessionId: SESSION, concurrencyKey: 'k' });
    const afterIt = await submitted(bench(), { concurrencyKey: 'k' });
    const first = await claimed(bench(), session);
    const second = (await bench().claimsOf('n1').owned()).find(({ jobId }) => jobId === key);
    if (second === undefined) throw new Error('both lanes should run');
    const waiting = await bench().record(both);
    expect(waiting).toMatchObject({ waitReason: 'session' });
    await finish(first);
    const stillWaiting = await bench().record(both);
    expect(stillWaiting).toMatchObject({ waitReason: 'concurrency_key' });
    expect(stillWaiting.rev).toBeGreaterThan(waiting.rev);
    expect(await claimIds()).toEqual([]);
    await finish(second);
    const third = await claimed(bench(), both);
    expect(await claimIds()).toEqual([]);
    await finish(third);
    expect(await claimIds()).toEqual([afterIt]);
  });

  it('one end that frees both lanes admits a job that waits in both exactly once', async () => {
    const request = { sessionId: SESSION, concurrencyKey: 'k' };
    const first = await submitted(bench(), request);
    const second = await submitted(bench(), request);
    await finish(await claimed(bench(), first));
    expect(await claimIds()).toEqual([second]);
    expect(await claimIds()).toEqual([]);
  });

  it('a job in backoff keeps its turn', async () => {
    const first = await submitted(bench(), { concurrencyKey: 'k', maxAttempts: 2 });
    const second = await submitted(bench(), { concurrencyKey: 'k' });
    const claim = await claimed(bench(), first);
    const outcome = failed(claim.executionId, 'execution.overloaded');
    await bench()
      .claimsOf('n1')
      .finish(finishOf(claim, { outcome, backoffMs: 60_000 }));
    expect(await claimIds()).toEqual([]);
    await bench().advance(120_000);
    await openNode(bench());
    expect(await bench().submissions.submit(first, ulid())).toEqual({ kind: 'underway' });
    await finish(await claimed(bench(), first));
    expect(await claimIds()).toEqual([second]);
  });

  it('a delayed job takes its place when it is due, and never beside one that runs already', async () => {
    const delayed = await create(bench(), { concurrencyKey: 'k', delayMs: 60_000 });
    const younger = await submitted(bench(), { concurrencyKey: 'k' });
    const last = await submitted(bench(), { concurrencyKey: 'k' });
    const claim = await claimed(bench(), younger);
    await bench().advance(120_000);
    expect(await bench().submissions.submit(delayed, ulid())).toEqual(WAITS);
    expect(await claimIds()).toEqual([]);
    await finish(claim);
    // Older than the one that waits: its turn comes first.
    expect(await claimIds()).toEqual([delayed]);
    expect((await bench().record(last)).waitReason).toBe('concurrency_key');
  });

  it('a job whose host has a clock that is behind joins no job that runs, and passes none that waits', async () => {
    const past = (ms: number) => create(bench(), { concurrencyKey: 'k' }, { createdAt: CREATED_AT - ms });
    const first = await submitted(bench(), { concurrencyKey: 'k' });
    const second = await past(1000);
    expect(await bench().submissions.submit(second, ulid())).toEqual(WAITS);
    const claim = await claimed(bench(), first);
    expect(await bench().claimsOf('n1').owned()).toHaveLength(1);
    const third = await past(2000);
    expect(await bench().submissions.submit(third, ulid())).toEqual(WAITS);
    await finish(claim);
    expect(await claimIds()).toEqual([second]);
    expect(await bench().record(third)).toMatchObject({ waitReason: 'concurrency_key' });
  });

  it('a turn that also waits in the lane of a key never stands ahead of the turn before it', async () => {
    const other = await submitted(bench(), { concurrencyKey: 'k' });
    const first = await create(bench(), { concurrencyKey: 'k' });
    const behind = { createdAt: CREATED_AT - 1000 }; // made by another host
    const second = await create(bench(), { sessionId: first, concurrencyKey: 'k' }, behind);
    for (const id of [other, first, second]) {
      const claim = await claimed(bench(), id);
      expect(await claimIds()).toEqual([]);
      await finish(claim);
    }
  });

  it('the turns of a session are in the order they were made, whatever the clocks of their hosts say', async () => {
    const turns: string[] = [];
    for (const ms of [0, 1000, 2000])
      turns.push(await create(bench(), { sessionId: SESSION }, { createdAt: CREATED_AT - ms }));
    expect(await bench().sessions.open(SESSION)).toEqual(turns);
    for (const id of turns) await finish(await claimed(bench(), id));
  });
}
