/** A hundred thousand queued jobs: how fast they are taken, what they cost, and how the API answers beside them. */
import { setTimeout as delay } from 'node:timers/promises';
import { createBatchClient } from './batch-client.ts';
import { residentMb } from './proc.ts';
import { type Row, repeat, type Section, type Setting } from './setting.ts';
import { quantile, summary } from './statistics.ts';

const PER_CALL = 1000;
const CALLERS = 1;
/** Jobs that end before the queue is built up: what the first ones make the server grow is not the queue's doing. */
const WARM_UPS = 200;
const CONFIG = { providers: { custom: { cat: { binary: 'cat' } } } };
const CONCURRENCY = 4;
const ASK_EVERY_MS = 20;
const SETTLE_MS = 3000;

/** Batches as fast as they are taken, then GET and list while the queue drains. */
export async function measureScale(setting: Setting): Promise<Section> {
  const { quick, log } = setting;
  const calls = quick ? 10 : 100;
  const drainMs = quick ? 5000 : 30_000;
  await using server = await setting.server({
    config: CONFIG,
    env: { BULLPEN_CONCURRENCY: String(CONCURRENCY) },
  });
  using client = createBatchClient(server);
  const prompts = (call: number, count: number) =>
    Array.from({ length: count }, (_, index) => ({
      prompt: `prompt ${index} of call ${call}`,
      provider: 'cat',
    }));
  const first = await client.create(prompts(-1, WARM_UPS));
  while (!(await client.read(first.id)).finished) await delay(ASK_EVERY_MS);

  const beforeMb = residentMb(server.pid);
  const batches: string[] = [];
  const ids: string[] = [];
  const callMs: number[] = [];
  let peakMb = beforeMb;
  const watch = setInterval(() => {
    peakMb = Math.max(peakMb, residentMb(server.pid));
  }, 100);
  const totalMs = await repeat(calls, CALLERS, async (call) => {
    const body = prompts(call, PER_CALL);
    const startedAt = performance.now();
    const batch = await client.create(body);
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
    getMs.push(await client.timed(`/v1/jobs/${id}`));
    listMs.push(await client.timed(index % 2 === 0 ? '/v1/jobs' : '/v1/jobs?status=queued'));
    await delay(ASK_EVERY_MS);
  }
  const after = await client.count(batches);
  const drained = after.succeeded - before.succeeded;
  log(
    `${drained} jobs ended meanwhile; GET p99 ${quantile(getMs, 0.99).toFixed(1)} ms, list p99 ${quantile(listMs, 0.99).toFixed(1)} ms`,
  );

  // Where all of it goes in the end, without running it: each job is in one state, and none is missing.
  const cancelledAt = performance.now();
  for (const id of batches) await client.cancel(id);
  const cancelMs = performance.now() - cancelledAt;
  let end = await client.count(batches);
  for (; end.total !== end.succeeded + end.cancelled; end = await client.count(batches))
    await delay(ASK_EVERY_MS);
  await delay(SETTLE_MS);
  clearInterval(watch);
  const rows: Row[] = [
    { name: 'prompts taken', value: rate, unit: 'per s', goal: { relation: '≥', value: 5000 } },
    {
      name: 'a call of 1,000, p50',
      value: quantile(callMs, 0.5),
      unit: 'ms',
      goal: { relation: '≤', value: 200 },
    },
    { name: 'a call of 1,000, p99', value: quantile(callMs, 0.99), unit: 'ms' },
    {
      name: 'memory growth at the most',
      value: peakMb - beforeMb,
      unit: 'MB',
      goal: { relation: '≤', value: 150 },
    },
    { name: 'jobs ended while asked', value: (drained * 1000) / drainMs, unit: 'per s' },
    {
      name: 'GET of one job, p99',
      value: quantile(getMs, 0.99),
      unit: 'ms',
      goal: { relation: '≤', value: 20 },
    },
    { name: 'list, p99', value: quantile(listMs, 0.99), unit: 'ms', goal: { relation: '≤', value: 50 } },
    { name: 'cancel of the rest, per 1,000', value: cancelMs / calls, unit: 'ms' },
    { name: 'jobs lost', value: taken - end.total, unit: '', goal: { relation: '≤', value: 0 } },
  ];
  return {
    title: `${taken} queued jobs, ${PER_CALL} a call, ${CALLERS} caller`,
    rows,
    data: {
      taken,
      totalMs,
      beforeMb,
      peakMb,
      callMs: summary(callMs),
      getMs: summary(getMs),
      listMs: summary(listMs),
    },
  };
}
