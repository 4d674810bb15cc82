/**
 * Ten thousand jobs that wait for one usage limit: what they cost Redis, how a job of another login
 * runs beside them, and how soon they run after the reset.
 */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { REDIS_USER } from '../../src/redis/private/users.ts';
import { type BenchClient, createBenchClient } from './client.ts';
import type { Section } from './results.ts';
import { repeat, type Setting } from './setting.ts';
import { quantile } from './statistics.ts';

const PER_CALL = 1000;
const CONCURRENCY = 4;
/** Long enough that a look sees every slot in use. */
const SCRIPT = '#!/bin/sh\nsleep 2\nexec cat\n';
const WATCH_MS = 5000;
const RESET_IN_MS = 1000;
const LOOK_MS = 50;
const WITHIN_MS = 60_000;

export async function measureWaiting(setting: Setting): Promise<Section> {
  const calls = setting.quick ? 1 : 10;
  const lone = setting.quick ? 10 : 40;
  const jobs = calls * PER_CALL;
  const home = setting.newFolder();
  const binary = join(setting.workspace, 'two-seconds');
  writeFileSync(binary, SCRIPT);
  chmodSync(binary, 0o755);
  const config = { providers: { custom: { limited: { binary }, other: { binary: 'cat' } } } };
  const env = { BULLPEN_CONCURRENCY: String(CONCURRENCY), BULLPEN_MAX_QUEUED: String(2 * jobs) };
  await using server = await setting.server({ home, config, env });
  using client = createBenchClient(server);
  const [port, password] = ['port', 'password'].map((name) =>
    readFileSync(join(home, 'redis', name), 'utf8').trim(),
  );
  const redis = new Redis({ port: Number(port), username: REDIS_USER, password: password ?? '' });
  try {
    const emptyMs = await loneJobs(client, lone);
    const [named = '{}'] = await redis.hvals('{bullpen}:credentials');
    const gate = `credential:${JSON.parse(named).limited}`;
    const close = (until: number): Promise<number> => {
      const closed = { reason: 'quota', since: Date.now(), until, refusals: 1 };
      return redis.hset('{bullpen}:gates', gate, JSON.stringify(closed));
    };
    await close(Date.now() + 3_600_000);

    const before = await usedBytes(redis);
    const batches: string[] = [];
    const ids: string[] = [];
    for (let call = 0; call < calls; call += 1) {
      const prompts = Array.from({ length: PER_CALL }, () => ({ prompt: 'hello', provider: 'limited' }));
      const batch = await client.createBatch(prompts);
      batches.push(batch.id);
      ids.push(...batch.items.flatMap((item) => ('id' in item ? [item.id] : [])));
    }
    const perJob = ((await usedBytes(redis)) - before) / jobs;
    const records = await recordBytes(redis, ids.slice(0, 200));
    const delivered = await deliveries(redis, ids);
    await delay(WATCH_MS);
    const deliveredLater = await deliveries(redis, ids);
    const besideMs = await loneJobs(client, lone);

    const resetAt = Date.now() + RESET_IN_MS;
    await close(resetAt);
    let mostRunning = 0;
    let readyMs = 0;
    for (;;) {
      const { queued, scheduled, running } = await client.count(batches);
      mostRunning = Math.max(mostRunning, running);
      readyMs = Date.now() - resetAt;
      if (scheduled === 0 && queued > 0 && running === CONCURRENCY) break;
      if (readyMs > WITHIN_MS) throw new Error('the jobs do not run after the reset');
      await delay(LOOK_MS);
    }
    for (const until = Date.now() + WATCH_MS; Date.now() < until; await delay(LOOK_MS))
      mostRunning = Math.max(mostRunning, (await client.count(batches)).running);
    for (const id of batches) await client.cancelBatch(id);

    const ratio = quantile(besideMs, 0.5) / quantile(emptyMs, 0.5);
    const row = (name: string, value: number, unit: string) => ({ name, value, unit });
    return {
      title: `${jobs.toLocaleString('en')} jobs that wait for one usage limit`,
      lines: [],
      rows: [
        row('Redis per job', perJob / 1024, 'KB'),
        row('of it beyond the record and its events', (perJob - records) / 1024, 'KB'),
        row('most deliveries of a job', Math.max(...delivered), ''),
        row('deliveries while they wait', sum(deliveredLater) - sum(delivered), ''),
        row('a job of another login, p50', quantile(besideMs, 0.5), 'ms'),
        row('compared with an empty queue', ratio, '×'),
        row('reset → all queued, and every slot in use', readyMs, 'ms'),
        row(`most running at once, of ${CONCURRENCY}`, mostRunning, ''),
      ],
      notes: [],
    };
  } finally {
    redis.disconnect();
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Milliseconds of each of some jobs, one after the other. */
async function loneJobs(client: BenchClient, count: number): Promise<readonly number[]> {
  const took: number[] = [];
  for (let index = 0; index < count; index += 1)
    took.push(
      await repeat(1, 1, async () => void (await client.answer({ prompt: 'x', provider: 'other' }, 'x'))),
    );
  return took;
}

const usedBytes = async (redis: Redis): Promise<number> =>
  Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);

/** How large a record with its events is, on average. */
async function recordBytes(redis: Redis, ids: readonly string[]): Promise<number> {
  const keys = ids.flatMap((id) => [`{bullpen}:job:${id}`, `{bullpen}:events:${id}`]);
  const sizes = await Promise.all(keys.map((key) => redis.memory('USAGE', key)));
  return sum(sizes.map(Number)) / ids.length;
}

/** How often BullMQ has delivered each job. */
async function deliveries(redis: Redis, ids: readonly string[]): Promise<readonly number[]> {
  return (await Promise.all(ids.map((id) => redis.hget(`{bullpen}:prompts:${id}`, 'ats')))).map(Number);
}
