import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Job } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import { startServer, type TestServer } from '../../helpers/server.ts';
import {
  type BreakableRedis,
  breakableRedis,
  duplicatesIn,
  expectHealthyLog,
  fakeClis,
  PROMPTLY_MS,
} from '../fault-bench.ts';

const PATIENCE = { timeoutMs: 40_000 };
const REQUESTS = 300;
const AT_ONCE = 8;
const KILL_EVERY_MS = 300;

/** Does `act` again and again until the test says stop; resolves to how often. */
function repeatedly(everyMs: number, act: () => Promise<unknown>): () => Promise<number> {
  let stopped = false;
  const loop = (async () => {
    let times = 0;
    for (; !stopped; times += 1) {
      await act();
      await delay(everyMs);
    }
    return times;
  })();
  const stop = (): Promise<number> => {
    stopped = true;
    return loop;
  };
  onTestFinished(async () => {
    await stop();
  });
  return stop;
}

/** The jobs, and how long each caller waited in milliseconds, shortest first. */
async function runMany(server: TestServer, count: number, atOnce: number) {
  const jobs: Job[] = [];
  const waitedMs: number[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) {
      const began = performance.now();
      const job = await server.run({ provider: 'echo', prompt: `request ${at}` }, 60);
      waitedMs.push(performance.now() - began);
      jobs.push(job);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return { jobs, waitedMs: waitedMs.sort((a, b) => a - b) };
}

/** Ends the subscriptions of the server, not those of the test. */
async function killSubscribers(redis: BreakableRedis): Promise<void> {
  const list = String(await redis.admin.call('CLIENT', 'LIST', 'TYPE', 'pubsub'));
  for (const line of list.split('\n').filter((one) => one.includes('name=bullpen-'))) {
    const id = /^id=(\d+)/.exec(line)?.[1];
    if (id !== undefined) await redis.admin.call('CLIENT', 'KILL', 'ID', id);
  }
}

describe('pub/sub connections that are killed all the time', () => {
  it('lose none of three hundred requests', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_CONCURRENCY: String(AT_ONCE) };
    const server = await startServer({ config: clis.config, env });

    await runMany(server, 3 * AT_ONCE, AT_ONCE); // so that the figures are not of starting workers
    const before = clis.spawns().length;
    const stopKilling = repeatedly(KILL_EVERY_MS, () => redis.admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
    const { jobs, waitedMs } = await runMany(server, REQUESTS, AT_ONCE);
    const kills = await stopKilling();

    expect(jobs.filter((job) => job.status !== 'succeeded' || job.outcome?.text !== job.prompt)).toEqual([]);
    expect(new Set(jobs.map(({ prompt }) => prompt)).size).toBe(REQUESTS);
    expect(duplicatesIn(clis.spawns())).toEqual([]);
    expect(clis.spawns()).toHaveLength(before + REQUESTS);
    expectHealthyLog(server);
    const percentile = (share: number): string =>
      `${waitedMs[Math.floor(share * (REQUESTS - 1))]?.toFixed(0)} ms`;
    console.log(
      `${REQUESTS} requests, ${AT_ONCE} at once, ${kills} kills of every subscriber, 0 lost: ` +
        `p50 ${percentile(0.5)}, p99 ${percentile(0.99)}, max ${percentile(1)}`,
    );
  }, 180_000);
});

describe('raw requests', () => {
  it('are answered at most once each, and again after every reconnect', async () => {
    const redis = await breakableRedis();
    const clis = await fakeClis();
    const env = { REDIS_URL: redis.url, BULLPEN_RAW_REQUESTS: 'on', BULLPEN_PROVIDER: 'echo' };
    const server = await startServer({ config: clis.config, env });
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

    for (let round = 0; round < 5; round += 1) {
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
