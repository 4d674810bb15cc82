/**
 * kill -9 of the server at each step between the end of a reason to wait and the delivery of the
 * job: docs/protocol.md, "Where a job waits". Each kill meets a job of every reason.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { FailpointName } from '../../src/failpoint.ts';
import { UNTIL_PROMOTED } from '../../src/rpc/client.ts';
import { eventually } from '../helpers/eventually.ts';
import { expectEndedOnce, expectWhole, gated, killMain, PATIENCE, sharedFakeSystem } from './fake-system.ts';

const SLOTS = 5;

describe('a server that is killed when the reasons to wait have ended', () => {
  const shared = sharedFakeSystem({
    // No lock runs out during the test: what the killed workers held is delivered at once.
    env: { BULLPEN_CONCURRENCY: String(SLOTS), BULLPEN_WORKERS: '12', BULLPEN_LOCK_MS: '600000' },
  });

  /**
   * Jobs that run in all slots, and jobs that wait, each for another reason.
   * @param holds whether workers are held where they are about to give back three of those
   */
  async function fill(redis: Redis, holds = false) {
    const system = shared();
    const { failpoints, submit } = system;
    const { sessionId } = await system.server.run({ prompt: 'the session' });
    const blocking = Array.from({ length: SLOTS }, () => gated(system));
    const [first = '', second = '', ...plain] = blocking.map(({ prompt }) => prompt);
    const key = { concurrencyKey: `of ${sessionId}` };
    const blockers = [await submit({ prompt: first, ...key }), await submit({ prompt: second, sessionId })];
    const waiting = new Map<string, string>();
    let worker = 0;
    /** A job that a worker gets, which gives it back. */
    async function early(prompt: string, options: object): Promise<void> {
      waiting.set(prompt, await submit({ prompt, ...options }));
      if (holds) worker = await failpoints.reached('rpc.later', worker);
    }
    if (holds) failpoints.hold('rpc.later');
    await early('lane', key);
    await early('session', { sessionId });
    for (const prompt of plain) blockers.push(await submit({ prompt }));
    await Promise.all(blocking.map(({ streams }) => streams()));
    await early('delay', { delayMs: 1 });
    waiting.set('slot', await submit({ prompt: 'slot' }));
    await closeGate(redis);
    waiting.set('gate', await submit({ prompt: 'gate', model: 'limited' }));
    await reach(redis, { ready: 3, parked: 2, delayed: holds ? 2 : 5 });
    return {
      blockers,
      waiting,
      letGo() {
        for (const { letGo } of blocking) letGo();
      },
    };
  }

  /** Closes the gate of the CLI's login for one model, as a refusal of the vendor does. */
  async function closeGate(redis: Redis): Promise<void> {
    const names = JSON.parse((await redis.hget('{bullpen}:credentials', nodeId())) ?? '{}');
    const gate = { reason: 'quota', since: Date.now(), until: Date.now() + 3_600_000, refusals: 1 };
    await redis.hset('{bullpen}:gates', `credential:${names.claude}|limited`, JSON.stringify(gate));
  }
  const nodeId = (): string => readFileSync(join(shared().server.home, 'node-id'), 'utf8').trim();

  /** How many jobs are in each of the sets. */
  async function counts(redis: Redis) {
    const ready = await redis.smembers('{bullpen}:ready');
    const sizes = await Promise.all(ready.map((name) => redis.zcard(`{bullpen}:ready:${name}`)));
    return {
      ready: sizes.reduce((sum, size) => sum + size, 0),
      parked: await redis.zcard('{bullpen}:parked'),
      given: await redis.zcard(`{bullpen}:given:${nodeId()}`),
      running: await redis.zcard('{bullpen}:running'),
      delivered: await redis.llen('{bullpen}:prompts:active'),
      /** Until they are promoted. */
      delayed: await redis.zcount('{bullpen}:prompts:delayed', (UNTIL_PROMOTED - 1000) * 4096, '+inf'),
    };
  }
  const reach = (redis: Redis, expected: object): Promise<unknown> =>
    eventually(async () => expect(await counts(redis)).toMatchObject(expected), PATIENCE);

  it.each<[string, FailpointName, boolean, object]>([
    ['and nothing is claimed', 'executor.claiming', false, { ready: SLOTS, given: 0, delivered: 0 }],
    ['and nothing is promoted', 'queue.given', false, { given: SLOTS, delivered: 0 }],
    ['and workers give the jobs back', 'queue.given', true, { given: SLOTS, delivered: 3 }],
  ])(
    '%s runs each job once, and removes the entry of a cancelled one',
    async (_when, step, holds, expected) => {
      const system = shared();
      const before = system.redis();
      const { blockers, waiting, letGo } = await fill(before, holds);
      const cancelled = await system.submit({ prompt: 'cancelled' });
      const entry = `{bullpen}:prompts:${cancelled}`;
      system.failpoints.hold('queue.ended');
      const cancelling = system.server.api('POST', `/v1/jobs/${cancelled}/cancel`).catch(() => 'reset');
      await system.failpoints.reached('queue.ended');
      expect(await before.exists(entry)).toBe(1);
      system.failpoints.hold(step);
      letGo();
      for (const id of blockers) expect(await system.server.finished(id)).toMatchObject({ attempts: 1 });
      const resumed = await system.server.api('POST', '/v1/providers/claude/resume');
      expect(await resumed.json()).toEqual({ opened: 1 });
      await reach(before, { ...expected, parked: 0, running: 0 });

      before.disconnect();
      await killMain(system);
      expect(await cancelling).toBe('reset');
      const server = await system.restart();

      for (const [prompt, id] of waiting) {
        const job = await server.finished(id);
        expect(job).toMatchObject({ status: 'succeeded', attempts: 1, outcome: { text: `fake: ${prompt}` } });
        expect(system.spawnsOf(await expectEndedOnce(server, job))).toHaveLength(1);
      }
      const job = await server.finished(cancelled);
      expect(job).toMatchObject({ status: 'cancelled', attempts: 0 });
      await expectEndedOnce(server, job);
      const redis = system.redis();
      await eventually(async () => {
        expect(await redis.exists(entry)).toBe(0);
        expect(await redis.zcard('{bullpen}:released')).toBe(0);
      }, PATIENCE);
      await expectWhole(system);
    },
  );
});
