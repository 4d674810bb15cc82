/** What a CLI that writes as fast as it can does to the server and to the jobs beside it. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createBenchClient } from './client.ts';
import { loopDelay, PROBE } from './loop-delay.ts';
import { residentMb } from './proc.ts';
import { type Row, repeat, type Section, type Setting, timed } from './setting.ts';
import { median, quantile } from './statistics.ts';

const PROMPT = 'the prompt that cat gives back';
const WARM_UPS = 50;
const SAMPLE_MS = 50;
/** One line of `yes`, as long as a usual delta of a CLI. */
const LINE = JSON.stringify({ type: 'text', text: 'x'.repeat(200) });

/** Where the flood comes from: plain lines, and JSON lines that have to be parsed. */
const FLOODS = {
  text: { binary: 'yes', args: ['x'.repeat(200)], stdin: true },
  ndjson: { binary: 'yes', args: [LINE], stdin: true, output: { ndjson: { text: '/text' } } },
} as const;

/** The most the server has resident until `until` settles. */
async function peakMb(pid: number, until: Promise<unknown>): Promise<number> {
  let over = false;
  const end = until.finally(() => {
    over = true;
  });
  let peak = 0;
  while (!over) {
    peak = Math.max(peak, residentMb(pid));
    await delay(SAMPLE_MS);
  }
  await end;
  return peak;
}

/** Each flood for some seconds beside small jobs; goals of the loop and of the memory. */
export async function measureFlood(setting: Setting): Promise<Section> {
  const { quick, log } = setting;
  const forMs = quick ? 2000 : 10_000;
  const file = join(setting.dataDir, 'loop-delay.json');
  await using server = await setting.server({
    config: { providers: { custom: { cat: { binary: 'cat' }, ...FLOODS } } },
    env: { BENCH_LOOP_FILE: file, BULLPEN_CONCURRENCY: '4', BULLPEN_MAX_OUTPUT_BYTES: '1000000000' },
    nodeOptions: ['--import', PROBE],
  });
  using client = createBenchClient(server);
  const small = () => client.run(PROMPT, PROMPT, 'cat');
  await repeat(WARM_UPS, 2, small);
  await loopDelay(server, file);
  // The same jobs for as long without a flood: what they make the server grow at first is not the flood's doing.
  const quietMs: number[] = [];
  const quietUntil = performance.now() + forMs;
  const quietJobs = (async () => {
    while (performance.now() < quietUntil) quietMs.push(await timed(small));
  })();
  await quietJobs;
  const quiet = await loopDelay(server, file);
  const rows: Row[] = [
    { name: 'quiet: loop delay, p99', value: quiet.p99, unit: 'ms' },
    { name: 'quiet: a small job, p50', value: median(quietMs), unit: 'ms' },
  ];
  const data: Record<string, unknown> = { quiet, quietMs };
  for (const name of Object.keys(FLOODS)) {
    const before = residentMb(server.pid);
    const flood = client.end({ prompt: 'flood', provider: name, timeoutMs: forMs });
    const besideMs: number[] = [];
    let over = false;
    const beside = flood.finally(() => {
      over = true;
    });
    const smallJobs = (async () => {
      while (!over) besideMs.push(await timed(small));
    })();
    const peak = await peakMb(server.pid, beside);
    await smallJobs;
    const code = await flood;
    const during = await loopDelay(server, file);
    log(
      `flood of ${name}: ended as ${code}, loop p99 ${during.p99.toFixed(1)} ms, peak ${peak.toFixed(0)} MB (before ${before.toFixed(0)})`,
    );
    rows.push(
      {
        name: `${name}: loop delay, p99`,
        value: during.p99,
        unit: 'ms',
        goal: { relation: '≤', value: 100 },
      },
      {
        name: `${name}: memory growth`,
        value: peak - before,
        unit: 'MB',
        goal: { relation: '≤', value: 100 },
      },
      { name: `${name}: a small job beside, p50`, value: quantile(besideMs, 0.5), unit: 'ms' },
      { name: `${name}: a small job beside, p99`, value: quantile(besideMs, 0.99), unit: 'ms' },
    );
    data[name] = { code, during, peakMb: peak, besideMs };
  }
  return { title: `A CLI that floods its stdout for ${forMs / 1000} s`, rows, data };
}
