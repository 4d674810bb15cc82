/**
 * A hundred thousand queued jobs: how fast they are accepted, what they cost, and how the API
 * answers beside them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createBenchClient } from './client.ts';
import { residentMb } from './proc.ts';
import type { Section } from './results.ts';
import { repeat, type Setting } from './setting.ts';
import { quantile } from './statistics.ts';

const PER_CALL = 1000;
/**
 * Jobs that end before the queue is filled: what the server allocates for its first jobs is not the
 * queue's.
 */
const WARM_UPS = 200;
const CONFIG = { providers: { custom: { cat: { binary: 'cat' } } } };
const CONCURRENCY = 4;
const ASK_EVERY_MS = 20;
const SETTLE_MS = 3000;

export async function measureScale(setting: Setting): Promise<Section> {
  const { quick, log } = setting;
  const calls = quick ? 10 : 100;
  const drainMs = quick ? 5000 : 30_000;
  await using server = await setting.server({
    config: CONFIG,
    env: { BULLPEN_CONCURRENCY: String(CONCURRENCY) },
  });
  using client = createBenchClient(server);
  const prompts = (call: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      prompt: `prompt ${index} of call ${call}`,
      provider: 'cat',
    }));
  const first = await client.createBatch(prompts(-1, WARM_UPS));
  while (!(await client.batch(first.id)).finished) await delay(ASK_EVERY_MS);

  const beforeMb = residentMb(server.pid);
  const batches: string[] = [];
  const ids: string[] = [];
  const callMs: number[] = [];
  let peakMb = beforeMb;
  const watch = setInterval(() => {
    peakMb = Math.max(peakMb, residentMb(server.pid));
  }, 100);
  const totalMs = await repeat(calls, 1, async (call) => {
    const body = prompts(call, PER_CALL);
    const startedAt = performance.now();
    const batch = await client.createBatch(body);
    callMs.push(performance.now() - startedAt);
    batches.push(batch.id);
    for (const item of batch.items) {
      if (!('id' in item)) throw new Error(`a prompt was refused: ${JSON.stringify(item)}`);
      ids.push(item.id);
    }
  });
  const taken = calls * PER_CALL;
  const rate = (taken * 1000) / totalMs;
  log(`${taken} prompts taken at ${rate.toFixed(0)} per s, call p50 ${quantile(callMs, 0.5).toFixed(0)} ms`);

  const getMs: number[] = [];
  const listMs: number[] = [];
  const until = performance.now() + drainMs;
  const before = await client.count(batches);
  for (let index = 0; performance.now() < until; index += 1) {
    const id = ids[(index * 7919) % ids.length] ?? '';
    getMs.push(await client.getMs(`/v1/jobs/${id}`));
    listMs.push(await client.getMs(index % 2 === 0 ? '/v1/jobs' : '/v1/jobs?status=queued'));
    await delay(ASK_EVERY_MS);
  }
  const after = await client.count(batches);
  const drained = after.succeeded - before.succeeded;
  log(
    `${drained} jobs ended; GET p99 ${quantile(getMs, 0.99).toFixed(1)} ms, list p99 ${quantile(listMs, 0.99).toFixed(1)} ms`,
  );

  // Cancel the rest: each job must end in one state, and none may be missing.
  for (const id of batches) await client.cancelBatch(id);
  let end = await client.count(batches);
  for (; end.total !== end.succeeded + end.cancelled; end = await client.count(batches))
    await delay(ASK_EVERY_MS);
  await delay(SETTLE_MS);
  clearInterval(watch);
  const row = (name: string, value: number, unit: string) => ({ name, value, unit });
  return {
    title: `${taken.toLocaleString('en')} queued jobs, sent ${PER_CALL.toLocaleString('en')} a call`,
    lines: [],
    rows: [
      row('prompts accepted', rate, 'per s'),
      row('memory growth of the server', peakMb - beforeMb, 'MB'),
      row('jobs ended beside it', (drained * 1000) / drainMs, 'per s'),
      row('GET of one job beside it, p99', quantile(getMs, 0.99), 'ms'),
      row('list beside it, p99', quantile(listMs, 0.99), 'ms'),
      row('jobs lost', taken - end.total, ''),
    ],
    notes: [],
  };
}
