import { getEventListeners } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AppError } from '../../../src/errors.ts';
import type { SubmitResult } from '../../../src/records/submissions.ts';
import type { Doorbells, Listener } from '../../../src/redis/doorbells.ts';
import { createRpcClient, type RpcClientOptions } from '../../../src/rpc/client.ts';
import { createJobWaits } from '../../../src/rpc/job-waits.ts';
import { CANCELLED, failed, finishOf, newJob, succeeded } from '../../contracts/records/samples.ts';
import { eventually } from '../../helpers/eventually.ts';
import { useTestRecords } from '../../helpers/redis-records.ts';

const NEVER_MS = 3_600_000;

const server = useTestRecords();

interface ClientOptions extends Omit<RpcClientOptions, 'waits'> {
  readonly doorbells: Doorbells;
  readonly channel: string;
}

function createClient({ doorbells, channel, ...options }: ClientOptions) {
  const waits = createJobWaits(doorbells, channel);
  return { run: createRpcClient({ waits, ...options }), start: waits.start, stop: waits.stop };
}

/** Doorbells whose messages a test can lose. */
function breakable(doorbells: Doorbells) {
  let connected = true;
  let listeners = 0;
  const resumed = new Set<() => void>();
  return {
    publish: doorbells.publish,
    async listen(channel: string, listener: Listener) {
      const stop = await doorbells.listen(channel, (message) => {
        if (connected) listener(message);
      });
      listeners += 1;
      return async () => {
        listeners -= 1;
        await stop();
      };
    },
    onResumed(callback: () => void) {
      resumed.add(callback);
      return () => resumed.delete(callback);
    },
    listeners: () => listeners,
    cut() {
      connected = false;
    },
    restore() {
      connected = true;
      for (const callback of resumed) callback();
    },
  };
}

/** A client whose submits are recorded. By default only a message wakes it. */
async function setUp(rest: Partial<ClientOptions> = {}) {
  const made = server.make();
  const rpc = { ...made, doorbells: breakable(made.doorbells) };
  const submits: { executionId: string; listeners: number; result: SubmitResult }[] = [];
  let ids = 0;
  const client = createClient({
    doorbells: rpc.doorbells,
    channel: rpc.responseChannel,
    submissions: {
      async submit(jobId, executionId) {
        const listeners = rpc.doorbells.listeners();
        const result = await rpc.submissions.submit(jobId, executionId);
        submits.push({ executionId, listeners, result });
        return result;
      },
    },
    newExecutionId: () => {
      ids += 1;
      return `e${ids}`;
    },
    pollMs: NEVER_MS,
    ...rest,
  });
  onTestFinished(() => client.stop());
  const claims = rpc.claimsOf('n1');
  await claims.renew([]);
  await claims.claim(5); // it has room
  /** Resolves when the client waits after its n-th submit. */
  const waits = (count: number) => eventually(() => expect(submits).toHaveLength(count));
  const claimOne = async () => {
    const [claim] = await rpc.claim('n1', 1);
    if (claim === undefined) throw new Error('nothing to claim');
    return claim;
  };
  /** Resolves when all messages until now have arrived. */
  async function delivered(): Promise<void> {
    const arrived = Promise.withResolvers<void>();
    const stop = await made.doorbells.listen(rpc.responseChannel, (message) => {
      if (message === 'all') arrived.resolve();
    });
    await rpc.doorbells.publish(rpc.responseChannel, 'all');
    await arrived.promise;
    await stop();
  }
  return { rpc, client, claims, submits, waits, claimOne, delivered };
}

const unending = (): AbortSignal => new AbortController().signal;

describe("the worker's side of the RPC", () => {
  it('listens before it submits, and resolves when the job has ended', async () => {
    const { rpc, client, claims, submits, waits, claimOne } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    expect(submits[0]).toMatchObject({ listeners: 1, result: { kind: 'underway' } });
    const claim = await claimOne();
    expect(claim.executionId).toBe('e1');
    await claims.finish(finishOf(claim));
    expect(await run).toEqual({ kind: 'finished', status: 'succeeded' });
  });

  it('submits nothing before Redis has acknowledged the subscription', async () => {
    const { rpc, submits } = await setUp();
    const acknowledged = Promise.withResolvers<void>();
    const client = createClient({
      doorbells: {
        ...rpc.doorbells,
        async listen(channel, listener) {
          await acknowledged.promise;
          return rpc.doorbells.listen(channel, listener);
        },
      },
      channel: rpc.responseChannel,
      submissions: {
        async submit() {
          submits.push({
            executionId: '',
            listeners: rpc.doorbells.listeners(),
            result: { kind: 'gone' },
          });
          return { kind: 'gone' };
        },
      },
      newExecutionId: () => 'e',
      pollMs: NEVER_MS,
    });
    const run = client.run('j', unending());
    await new Promise((resolve) => setImmediate(resolve));
    expect(submits).toEqual([]);
    acknowledged.resolve();
    expect(await run).toEqual({ kind: 'gone' });
    expect(submits).toMatchObject([{ listeners: 1 }]);
    await client.stop();
  });

  it('notices an end between the submit and the wait', async () => {
    const { rpc, claims } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    const client = createClient({
      doorbells: rpc.doorbells,
      channel: rpc.responseChannel,
      submissions: {
        async submit(jobId, executionId) {
          const result = await rpc.submissions.submit(jobId, executionId);
          for (const claim of await rpc.claim('n1', 1)) await claims.finish(finishOf(claim));
          await new Promise((resolve) => setImmediate(resolve));
          return result;
        },
      },
      newExecutionId: () => 'e',
      pollMs: NEVER_MS,
    });
    onTestFinished(() => client.stop());
    expect(await client.run(job.id, unending())).toEqual({ kind: 'finished', status: 'succeeded' });
  });

  it('a lost doorbell costs one poll interval, not the result', async () => {
    const { rpc, client, claims, submits, waits, claimOne } = await setUp({ pollMs: 30 });
    const job = newJob();
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    rpc.doorbells.cut();
    await claims.finish(finishOf(await claimOne()));
    expect(await run).toEqual({ kind: 'finished', status: 'succeeded' });
    expect(submits.at(-1)).toMatchObject({ result: { kind: 'finished' } });
  });

  it('reads the record again when messages arrive again', async () => {
    const { rpc, client, claims, waits, claimOne } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    rpc.doorbells.cut();
    await claims.finish(finishOf(await claimOne()));
    rpc.doorbells.restore();
    expect(await run).toEqual({ kind: 'finished', status: 'succeeded' });
  });

  it('messages of other jobs, answers and garbage do not wake it', async () => {
    const { rpc, client, claims, submits, waits, claimOne, delivered } = await setUp();
    const job = newJob();
    const other = newJob();
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    const claim = await claimOne();
    await rpc.records.create(other);
    await claims.finish(finishOf(await claimOne()));
    await rpc.doorbells.publish(rpc.responseChannel, '{"id":"test","success":true,"result":""}');
    await rpc.doorbells.publish(rpc.responseChannel, 'garbage');
    await delivered();
    expect(submits).toHaveLength(1);
    await claims.finish(finishOf(claim));
    expect(await run).toEqual({ kind: 'finished', status: 'succeeded' });
    expect(submits).toHaveLength(2);
  });

  it('an abort ends the wait with its reason, and leaves the job alone', async () => {
    const { rpc, client, claims, waits, claimOne } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    const controller = new AbortController();
    const run = client.run(job.id, controller.signal);
    await waits(1);
    const claim = await claimOne();
    controller.abort(new Error('the worker is ending'));
    await expect(run).rejects.toThrow('the worker is ending');
    expect(await rpc.records.read(job.id)).toMatchObject({ status: 'running', cancel: 'none' });
    expect(await claims.renew([claim])).toEqual(['held']);
  });

  it('an aborted signal submits nothing', async () => {
    const { rpc, client, submits } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    await expect(client.run(job.id, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
    expect(submits).toEqual([]);
  });

  it('a long wait leaves no listeners on the signal', async () => {
    const { rpc, client, claims, submits, claimOne } = await setUp({ pollMs: 1 });
    const job = newJob();
    await rpc.records.create(job);
    const { signal } = new AbortController();
    const run = client.run(job.id, signal);
    await eventually(() => expect(submits.length).toBeGreaterThan(20));
    expect(getEventListeners(signal, 'abort').length).toBeLessThanOrEqual(1);
    await claims.finish(finishOf(await claimOne()));
    await run;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('a second call for the same job waits for the execution that is under way', async () => {
    const { rpc, client, claims, waits, claimOne } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    const first = client.run(job.id, unending());
    const second = client.run(job.id, unending());
    await waits(2);
    const claim = await claimOne();
    expect(await claims.claim(5)).toEqual({ claims: [], given: [] });
    await claims.finish(finishOf(claim));
    expect(await Promise.all([first, second])).toEqual(
      Array(2).fill({ kind: 'finished', status: 'succeeded' }),
    );
  });

  it('an attempt that ended leaves the worker until the next one is due', async () => {
    const { rpc, client, claims, waits, claimOne } = await setUp();
    const job = newJob({ maxAttempts: 2 });
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    const first = await claimOne();
    const outcome = failed(first.executionId, 'execution.overloaded');
    await claims.finish(finishOf(first, { outcome, backoffMs: 5000 }));
    expect(await run).toEqual({ kind: 'later', afterMs: expect.closeTo(5000, -3) });

    await rpc.advance(5000);
    const again = client.run(job.id, unending());
    await waits(3);
    const second = await claimOne();
    expect(second).toMatchObject({ attempt: 2 });
    expect(second.executionId).not.toBe(first.executionId);
    await claims.finish(finishOf(second, { outcome: succeeded(second.executionId) }));
    expect(await again).toEqual({ kind: 'finished', status: 'succeeded' });
  });

  it('a next attempt that is due at once runs in the same wait, as an execution of its own', async () => {
    const { rpc, client, claims, waits, claimOne } = await setUp();
    const job = newJob({ maxAttempts: 2 });
    await rpc.records.create(job);
    const run = client.run(job.id, unending());
    await waits(1);
    const first = await claimOne();
    await claims.finish(finishOf(first, { outcome: failed(first.executionId, 'execution.overloaded') }));
    await waits(2);
    const second = await claimOne();
    expect([first, second].map(({ executionId, attempt }) => [executionId, attempt])).toEqual([
      ['e1', 1],
      ['e2', 2],
    ]);
    await claims.finish(finishOf(second, { outcome: failed(second.executionId, 'execution.overloaded') }));
    expect(await run).toEqual({ kind: 'finished', status: 'failed' });
  });

  it('a delayed job is delivered again when it is due, a parked one when it is promoted', async () => {
    const { rpc, client } = await setUp();
    const delayed = newJob({ delayMs: 7000 });
    const ahead = newJob({ concurrencyKey: 'k' });
    const parked = newJob({ concurrencyKey: 'k' });
    for (const job of [delayed, ahead, parked]) await rpc.records.create(job);
    expect(await client.run(delayed.id, unending())).toEqual({
      kind: 'later',
      afterMs: expect.closeTo(7000, -3),
    });
    expect(await client.run(parked.id, unending())).toEqual({ kind: 'later', afterMs: null });
  });

  it('a job that is not there is gone', async () => {
    const { client } = await setUp();
    expect(await client.run('none', unending())).toEqual({ kind: 'gone' });
  });

  it('keeps the delivery while Redis takes no commands, and submits again', async () => {
    const { rpc } = await setUp();
    const job = newJob();
    await rpc.records.create(job);
    await rpc.records.cancel(job.id, false, CANCELLED);
    const codes = ['redis.unavailable', 'redis.refused'] as const;
    let asked = 0;
    const patient = createClient({
      ...{ doorbells: rpc.doorbells, channel: rpc.responseChannel, parkedMs: 1, pollMs: 5 },
      newExecutionId: () => 'e',
      submissions: {
        submit(...args) {
          const code = codes[asked];
          asked += 1;
          if (code !== undefined) return Promise.reject(new AppError(code, 'OOM'));
          return rpc.submissions.submit(...args);
        },
      },
    });
    onTestFinished(() => patient.stop());
    expect(await patient.run(job.id, unending())).toEqual({ kind: 'finished', status: 'cancelled' });
    expect(asked).toBe(3);
  });

  it('a submit that fails ends the wait and leaves nothing waiting', async () => {
    const { rpc } = await setUp();
    const client = createClient({
      doorbells: rpc.doorbells,
      channel: rpc.responseChannel,
      submissions: {
        async submit() {
          throw new Error('redis is away');
        },
      },
      newExecutionId: () => 'e',
      pollMs: NEVER_MS,
    });
    onTestFinished(() => client.stop());
    const { signal } = new AbortController();
    await expect(client.run('j', signal)).rejects.toThrow('redis is away');
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('subscribes again when the first subscription failed', async () => {
    const { rpc } = await setUp();
    let failures = 1;
    const client = createClient({
      doorbells: {
        ...rpc.doorbells,
        async listen(channel, listener) {
          failures -= 1;
          if (failures >= 0) throw new Error('not subscribed');
          return rpc.doorbells.listen(channel, listener);
        },
      },
      channel: rpc.responseChannel,
      submissions: rpc.submissions,
      newExecutionId: () => 'e',
      pollMs: NEVER_MS,
    });
    onTestFinished(() => client.stop());
    await expect(client.run('none', unending())).rejects.toThrow('not subscribed');
    expect(await client.run('none', unending())).toEqual({ kind: 'gone' });
  });

  it('subscribes once for all jobs, and not after it was stopped', async () => {
    const { rpc, client } = await setUp();
    await Promise.all([client.start(), client.run('none', unending()), client.start()]);
    expect(rpc.doorbells.listeners()).toBe(1);
    await client.stop();
    expect(rpc.doorbells.listeners()).toBe(0);
  });
});
