import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Job } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import {
  type BreakableRedis,
  duplicatesIn,
  expectHealthyLog,
  PROMPTLY_MS,
  sharedBench,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const REQUESTS = 30;
const AT_ONCE = 8;
const KILL_AFTER_EACH = 5;

const setUp = sharedBench({
  BULLPEN_CONCURRENCY: String(AT_ONCE),
  BULLPEN_RAW_REQUESTS: 'on',
  BULLPEN_PROVIDER: 'echo',
});

/** Ends the subscriptions of the server, not those of the test. */
async function killSubscribers(redis: BreakableRedis): Promise<void> {
  const list = String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub'));
  for (const line of list.split('\n').filter((one) => one.includes('name=bullpen-'))) {
    const id = /^id=(\d+)/.exec(line)?.[1];
    if (id !== undefined) await redis.admin.call('CLIENT', 'KILL', 'ID', id);
  }
}

describe('pub/sub connections that are killed all the time', () => {
  it('lose no request', async () => {
    const { redis, clis, server } = await setUp();
    const jobs: Job[] = [];
    let next = 0;
    const caller = async (): Promise<void> => {
      for (let at = next++; at < REQUESTS; at = next++) {
        jobs.push(await server.run({ prompt: `request ${at}` }, 60));
        // The others are on their way then, each at another step.
        if (at % KILL_AFTER_EACH === 0) await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, caller));

    expect(jobs.filter((job) => job.status !== 'succeeded' || job.outcome?.text !== job.prompt)).toEqual([]);
    expect(new Set(jobs.map(({ prompt }) => prompt)).size).toBe(REQUESTS);
    expect(duplicatesIn(clis.spawns())).toEqual([]);
    expect(clis.spawns()).toHaveLength(REQUESTS);
    expectHealthyLog(server);
  });
});

describe('raw requests', () => {
  it('are answered at most once each, and again after every reconnect', async () => {
    const { redis, server } = await setUp();
    const listener = new Redis(redis.url);
    onTestFinished(() => listener.disconnect());
    const answers: { id: string; success: boolean; result?: string }[] = [];
    listener.on('message', (_, text: string) => {
      const message = JSON.parse(text);
      if ('success' in message) answers.push(message);
    });
    await listener.subscribe('claude:cli:responses');
    const ask = async (id: string): Promise<number> =>
      Number(await redis.cli('PUBLISH', 'claude:cli:requests', JSON.stringify({ id, prompt: `say ${id}` })));
    const answered = (id: string): boolean => answers.some((answer) => answer.id === id);

    for (let round = 0; round < 3; round += 1) {
      await killSubscribers(redis);
      // A raw request without a receiver must be sent again: that is its contract.
      let tries = 0;
      await eventually(async () => {
        tries += 1;
        const id = `${round}.${tries}`;
        if ((await ask(id)) === 0) return false;
        await eventually(() => answered(id), { timeoutMs: PROMPTLY_MS });
        return true;
      }, PATIENCE);
    }

    expect(duplicatesIn(answers.map(({ id }) => id))).toEqual([]);
    expect(answers.map(({ id, ...answer }) => answer)).toEqual(
      answers.map(({ id }) => ({ success: true, result: `say ${id}` })),
    );
    expectHealthyLog(server);
  });
});
