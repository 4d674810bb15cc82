/** What a prompt costs in processor time and memory, in the CLI and outside it. */
import { setTimeout as delay } from 'node:timers/promises';
import { startByHand } from './by-hand.ts';
import { createBenchClient } from './client.ts';
import { cpuTime, descendantsOf, shareMb } from './proc.ts';
import { AT_REST } from './report.ts';
import { addSample, line, type Row, type Samples, type Section } from './results.ts';
import type { BenchServer } from './server.ts';
import { repeat, type Setting } from './setting.ts';
import { turns } from './statistics.ts';
import { type BullpenRunner, handRunner, PROMPT, type Runner, startBullpen } from './ways.ts';

/** Prompts before the first measurement: most of the server's code is compiled by then. */
const WARM_UPS = 40;
/** After the last answer, until everything is written and cleaned up. */
const TIDY_MS = 500;
/** After that, until new idle processes have started. */
const BOOT_MS = 1000;
/** Streams for about two seconds, so that all prompts at once are in progress together. */
const LONG_PROMPT = '[[slow: 40 tokens 50ms]]';
const SAMPLE_MS = 200;
/** A command that ends at once. */
const CONFIG = { providers: { custom: { instant: { binary: 'true' } } } };
/** Before a server counts as at rest: the time since its last job, and its number of jobs. */
const REST = { afterMs: 120_000, quickMs: 5000, jobs: 20 };

/** A way and the processes whose processor time and memory it uses. */
interface Subject {
  readonly runner: Runner;
  /** Turns of one session run one after the other. */
  readonly atOnce: number;
  /** The processes of Bullpen, or of the small program that starts the CLIs by hand. */
  outside(): readonly number[];
  clis(): readonly number[];
}

const byHand = (runner: Runner, atOnce: number, pid: number): Subject => ({
  runner,
  atOnce,
  outside: () => [pid],
  clis: () => descendantsOf(pid),
});

const bullpen = (runner: BullpenRunner, atOnce: number): Subject => ({
  runner,
  atOnce,
  outside: () => runner.server.parts().map(({ pid }) => pid),
  clis: runner.server.clis,
});

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const memoryMb = (pids: readonly number[]): number => sum(pids.map(shareMb));

/**
 * Milliseconds so far. The kernel adds the time of a CLI that has exited to its parent's children.
 */
function cpuMs(subject: Subject): { readonly outside: number; readonly clis: number } {
  const outside = subject.outside().map(cpuTime);
  const clis = subject.clis().map(cpuTime);
  return {
    outside: sum(outside.map(({ own }) => own)),
    clis: sum(outside.map(({ children }) => children)) + sum(clis.map((time) => time.own + time.children)),
  };
}

/** Milliseconds per prompt. */
async function cpuPerPrompt(subject: Subject, prompts: number) {
  const before = cpuMs(subject);
  await repeat(prompts, subject.atOnce, async () => void (await subject.runner.run(PROMPT)));
  await delay(TIDY_MS);
  const { outside } = cpuMs(subject);
  await delay(BOOT_MS);
  const { clis } = cpuMs(subject);
  return { outside: (outside - before.outside) / prompts, clis: (clis - before.clis) / prompts };
}

/** MB of the idle CLIs, and of the CLIs at their peak while prompts stream together. */
async function memoryUse(subject: Subject) {
  await delay(BOOT_MS);
  const idle = memoryMb(subject.clis());
  let done = false;
  const work = repeat(
    subject.atOnce,
    subject.atOnce,
    async () => void (await subject.runner.run(LONG_PROMPT)),
  ).finally(() => {
    done = true;
  });
  let peak = 0;
  while (!done) {
    peak = Math.max(peak, memoryMb(subject.clis()));
    await delay(SAMPLE_MS);
  }
  await work;
  return { idle, cli: peak / subject.atOnce };
}

/** Milliseconds of Bullpen per instant command, one at a time. */
async function instantCpuMs(server: BenchServer, jobs: number): Promise<number> {
  using client = createBenchClient(server);
  const run = () => client.run({ prompt: 'nothing', provider: 'instant' });
  const cpu = (): number => sum(server.parts().map(({ pid }) => cpuTime(pid).own));
  await repeat(jobs, 1, async () => void (await run()));
  await delay(TIDY_MS);
  const before = cpu();
  await repeat(jobs, 1, async () => void (await run()));
  await delay(TIDY_MS);
  return (cpu() - before) / jobs;
}

/** The processes of a server with its default settings: a worker's boot, and each one at rest. */
async function startAtRest(setting: Setting) {
  const server = await setting.server();
  await delay(BOOT_MS);
  const workers = server.parts().filter(({ part }) => part === 'workers');
  const bootMs = sum(workers.map(({ pid }) => cpuTime(pid).own)) / workers.length;
  using client = createBenchClient(server);
  await repeat(setting.quick ? 2 : REST.jobs, 1, async () => void (await client.run({ prompt: PROMPT })));
  const endedAt = performance.now();
  return {
    async rows(): Promise<Row[]> {
      await delay(Math.max(0, endedAt + (setting.quick ? REST.quickMs : REST.afterMs) - performance.now()));
      const parts = server.parts().map(({ part, pid }) => ({ name: part, value: shareMb(pid), unit: 'MB' }));
      const all = sum(parts.map(({ value }) => value));
      return [
        { name: 'CPU of a worker from its start to its first job', value: bootMs, unit: 'ms' },
        ...parts.map((row) => ({ ...row, name: `${row.name} at rest` })),
        { name: AT_REST, value: all, unit: 'MB' },
      ];
    },
    [Symbol.asyncDispose]: server.stop,
  };
}

export async function measureResources(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 2;
  const prompts = setting.quick ? 4 : 24;
  const atOnce = setting.quick ? 2 : 4;
  const env = { BULLPEN_CONCURRENCY: String(atOnce) };
  await using rest = await startAtRest(setting);
  using hand = startByHand(setting);
  await using cold = await startBullpen(setting, 'cold', env);
  await using warm = await startBullpen(setting, 'warm', env, CONFIG);
  await using session = await startBullpen(setting, 'session', env);
  const subjects: readonly Subject[] = [
    byHand(handRunner(hand), atOnce, hand.pid),
    bullpen(cold, atOnce),
    bullpen(warm, atOnce),
    bullpen(session, 1),
  ];
  for (const { runner, atOnce: count } of subjects)
    await repeat(setting.quick ? count : WARM_UPS, count, async () => void (await runner.run(PROMPT)));
  await delay(BOOT_MS);

  const cpu = { clis: {} as Samples, outside: {} as Samples };
  for (let round = 0; round < rounds; round += 1) {
    for (const subject of turns(subjects, round)) {
      const { way } = subject.runner;
      const { outside, clis } = await cpuPerPrompt(subject, prompts);
      addSample(cpu.clis, way, clis);
      // By hand, the small program is in place of a shell, which is there anyway.
      if (way !== 'hand') addSample(cpu.outside, way, outside);
    }
    setting.log(`processor time, round ${round + 1} of ${rounds}`);
  }
  const memory = { cli: {} as Samples, idle: {} as Samples };
  for (const subject of subjects) {
    const { way } = subject.runner;
    const { idle, cli } = await memoryUse(subject);
    addSample(memory.cli, way, cli);
    if (way !== 'hand') addSample(memory.idle, way, idle);
  }
  const instantMs = await instantCpuMs(warm.server, setting.quick ? 20 : 200);
  return {
    title: `Processor time and memory per prompt (${atOnce} at once, turns of a session one at a time)`,
    lines: [
      line('CPU of the CLI per prompt', 'ms', cpu.clis),
      line('CPU of Bullpen per prompt', 'ms', cpu.outside),
      line('memory of its idle processes', 'MB', memory.idle),
      line('memory of the CLIs per running prompt', 'MB', memory.cli),
    ],
    rows: [
      { name: 'CPU of Bullpen per command that ends at once, one at a time', value: instantMs, unit: 'ms' },
      ...(await rest.rows()),
    ],
    notes: [
      `After ${WARM_UPS} prompts each. Bullpen is the main process, the launcher, the workers and Redis.`,
      'Memory is PSS: pages that processes share count once. A running prompt includes the idle processes beside it.',
      `At rest: default settings, two minutes after the last of ${REST.jobs} prompts, without the idle CLIs.`,
    ],
  };
}
