/** Many readers of one busy job: how late each line is, and what it does to the server's loop. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createBenchClient } from './client.ts';
import { loopDelay, PROBE } from './loop-delay.ts';
import type { Row, Section, Setting } from './setting.ts';
import { quantile } from './statistics.ts';
import type { Heard, StreamTask } from './stream-readers.ts';

const READERS = 500;
const LINE_EVERY_MS = 20;
const WARM_UPS = 20;

const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** One job that writes a line every 20 ms, read by 500. */
export async function measureReaders(setting: Setting): Promise<Section> {
  const forMs = setting.quick ? 5000 : 15_000;
  const file = join(setting.dataDir, 'readers-loop-delay.json');
  const clock = [script('./line-clock.js'), String(LINE_EVERY_MS), String(forMs)];
  await using server = await setting.server({
    config: {
      providers: { custom: { cat: { binary: 'cat' }, clock: { binary: process.execPath, args: clock } } },
    },
    env: { BENCH_LOOP_FILE: file },
    nodeOptions: ['--import', PROBE],
  });
  using client = createBenchClient(server);
  for (let run = 0; run < WARM_UPS; run += 1) await client.run('x', 'x', 'cat');

  const readers = fork(script('./stream-readers.ts'), [], { execArgv: [], serialization: 'advanced' });
  const failed = once(readers, 'exit').then(() => Promise.reject(new Error('the readers failed')));
  failed.catch(() => undefined); // it also ends when all is well
  const next = async (): Promise<unknown> => (await Promise.race([once(readers, 'message'), failed]))[0];
  try {
    const job = await client.submit({ prompt: 'x', provider: 'clock' });
    const path = `${job.links.events}?kinds=text.delta`;
    const task: StreamTask = { url: server.url, token: server.token, path, count: READERS };
    readers.send(task);
    await next();
    await loopDelay(server, file);
    const { latenciesMs, linesPerReader } = (await next()) as Heard; // sent by stream-readers.ts
    const loop = await loopDelay(server, file);
    const lines = Math.max(...linesPerReader);
    const missed = linesPerReader.filter((count) => count !== lines).length;
    const [p50 = 0, p90 = 0, p99 = 0] = [0.5, 0.9, 0.99].map((share) => quantile(latenciesMs, share));
    setting.log(`${READERS} readers, ${lines} lines each: p50 ${p50.toFixed(1)} ms`);
    const rows: Row[] = [
      {
        name: 'line to reader, p50',
        value: p50,
        unit: 'ms',
        goal: { relation: '≤', value: 5 },
      },
      {
        name: 'line to reader, p99',
        value: p99,
        unit: 'ms',
        goal: { relation: '≤', value: 50 },
      },
      { name: 'loop delay, p50', value: loop.p50, unit: 'ms' },
      { name: 'loop delay, p99', value: loop.p99, unit: 'ms', goal: { relation: '≤', value: 50 } },
      { name: 'readers that missed a line', value: missed, unit: '', goal: { relation: '≤', value: 0 } },
    ];
    const data = { readers: READERS, lines, heard: latenciesMs.length, latencyMs: { p50, p90, p99 }, loop };
    return { title: `${READERS} SSE readers of one job with a line every ${LINE_EVERY_MS} ms`, rows, data };
  } finally {
    if (readers.exitCode === null) readers.kill();
  }
}
