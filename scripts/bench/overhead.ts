import { type BareLoop, startBareLoop } from './bare.ts';
import { createBenchClient } from './client.ts';
import { cpuTime } from './proc.ts';
import { type BenchServer, PARTS } from './server.ts';
import { type Row, repeat, type Section, type Setting, timed } from './setting.ts';
import { median, quantile, summary } from './statistics.ts';

const PROMPT = 'the prompt that cat gives back';
const CONCURRENCY = 4;
const WARM_UPS = 30;
const CONFIG = { providers: { custom: { cat: { binary: 'cat' } } } };

/** What Bullpen itself costs: a CLI that takes no time, against a bare loop that spawns it. */
export async function measureOverhead(
  setting: Setting,
  nodeOptions: readonly string[] = [],
): Promise<Section> {
  await using server = await setting.server({
    config: CONFIG,
    env: { BULLPEN_CONCURRENCY: String(CONCURRENCY) },
    nodeOptions,
  });
  using client = createBenchClient(server);
  using bare = startBareLoop(setting.workspace, setting.env);
  const bullpen = () => client.run(PROMPT, PROMPT, 'cat');
  await bare.run(WARM_UPS, CONCURRENCY, PROMPT);
  await repeat(WARM_UPS, CONCURRENCY, bullpen);

  const one = await oneAfterTheOther(setting, bare, bullpen);
  const many = await manyAtOnce(setting, server, bare, bullpen);
  return {
    title: "Bullpen's own overhead: an instant CLI (cat) against a bare spawn of it",
    rows: [...one.rows, ...many.rows],
    data: { sequential: one.data, concurrent: many.data },
  };
}

type Task = () => Promise<void>;

async function oneAfterTheOther({ quick, log }: Setting, bare: BareLoop, bullpen: Task) {
  const count = quick ? 40 : 300;
  const bareMs: number[] = [];
  const bullpenMs: number[] = [];
  for (let index = 0; index < count; index += 1) {
    bareMs.push((await bare.run(1, 1, PROMPT)).totalMs);
    bullpenMs.push(await timed(bullpen));
  }
  log(
    `${count} requests one after the other: bare ${median(bareMs).toFixed(2)} ms, Bullpen ${median(bullpenMs).toFixed(2)} ms`,
  );
  const added = (share: number): number => quantile(bullpenMs, share) - quantile(bareMs, share);
  const rows: Row[] = [
    { name: 'bare spawn, p50', value: median(bareMs), unit: 'ms' },
    { name: 'Bullpen, p50', value: median(bullpenMs), unit: 'ms' },
    { name: 'added, p50', value: added(0.5), unit: 'ms', goal: { relation: '≤', value: 4 } },
    { name: 'added, p99', value: added(0.99), unit: 'ms', goal: { relation: '≤', value: 15 } },
  ];
  return { rows, data: { bareMs: summary(bareMs), bullpenMs: summary(bullpenMs) } };
}

async function manyAtOnce({ quick, log }: Setting, server: BenchServer, bare: BareLoop, bullpen: Task) {
  const blocks = quick ? 1 : 4;
  const count = quick ? 80 : 400;
  const rates = { bare: [] as number[], bullpen: [] as number[] };
  const cpu = { main: 0, launcher: 0, workers: 0, redis: 0, clis: 0, bare: 0 };
  for (let block = 0; block < blocks; block += 1) {
    const bareBefore = cpuTime(bare.pid).own;
    rates.bare.push((count * 1000) / (await bare.run(count, CONCURRENCY, PROMPT)).totalMs);
    cpu.bare += cpuTime(bare.pid).own - bareBefore;

    const before = server.cpu();
    rates.bullpen.push((count * 1000) / (await repeat(count, CONCURRENCY, bullpen)));
    const after = server.cpu();
    for (const part of PARTS) cpu[part] += after[part].own - before[part].own;
    for (const part of ['main', 'launcher'] as const)
      cpu.clis += after[part].children - before[part].children;
    log(
      `${CONCURRENCY} at once, block ${block + 1} of ${blocks}: ${rates.bullpen.at(-1)?.toFixed(0)} jobs per s`,
    );
  }
  const jobs = blocks * count;
  const perJob = (ms: number): number => ms / jobs;
  const rows: Row[] = [
    { name: `bare loop, ${CONCURRENCY} at once`, value: median(rates.bare), unit: 'per s' },
    { name: `Bullpen, ${CONCURRENCY} at once`, value: median(rates.bullpen), unit: 'per s' },
    { name: 'CPU per job: main process', value: perJob(cpu.main), unit: 'ms' },
    { name: 'CPU per job: launcher', value: perJob(cpu.launcher), unit: 'ms' },
    { name: 'CPU per job: workers', value: perJob(cpu.workers), unit: 'ms' },
    { name: 'CPU per job: Redis', value: perJob(cpu.redis), unit: 'ms' },
    {
      name: 'CPU per job: all of these',
      value: perJob(PARTS.reduce((sum, part) => sum + cpu[part], 0)),
      unit: 'ms',
      goal: { relation: '≤', value: 5 },
    },
    { name: 'CPU per job: the CLI itself', value: perJob(cpu.clis), unit: 'ms' },
    { name: 'CPU per run: the bare loop', value: perJob(cpu.bare), unit: 'ms' },
  ];
  return { rows, data: { jobs, rates, cpuMs: cpu } };
}
