/** What a prompt costs in processor time and memory, in the CLI and outside it. */
import { setTimeout as delay } from 'node:timers/promises';
import { startSdkLoop } from './agent-sdk.ts';
import { startByHand } from './by-hand.ts';
import { line, medianOf, type Samples, sample, turns } from './comparison.ts';
import { cpuTime, descendantsOf, shareMb } from './proc.ts';
import type { Row, Way } from './results.ts';
import { PARTS } from './server.ts';
import { repeat, type Section, type Setting } from './setting.ts';
import { median } from './statistics.ts';
import {
  type BullpenRunner,
  handRunner,
  missingWays,
  PROMPT,
  type Runner,
  sdkRunner,
  startBullpen,
} from './ways.ts';

/** A server that has run for a while: most of its code is compiled by then. */
const WARM_UPS = 40;
/** After the last answer: what is written and cleaned up behind it is done. */
const TIDY_MS = 500;
/** Then also processes that are started ahead have booted. */
const BOOT_MS = 1000;
/** Streams for about two seconds, so that all that run at once are at work together. */
const LONG_PROMPT = '[[slow: 40 tokens 50ms]]';
const SAMPLE_MS = 200;

/** Whose processor time and memory a way takes. */
interface Subject {
  readonly runner: Runner;
  /** Turns of one session run one after the other. */
  readonly atOnce: number;
  /** What runs beside the CLIs, by name. */
  outside(): readonly { readonly part: string; readonly pid: number }[];
  clis(): readonly number[];
}

const ofProgram = (runner: Runner, atOnce: number, pid: number): Subject => ({
  runner,
  atOnce,
  outside: () => [{ part: 'program', pid }],
  clis: () => descendantsOf(pid),
});

const ofServer = (runner: BullpenRunner, atOnce: number): Subject => ({
  runner,
  atOnce,
  outside: runner.server.parts,
  clis: runner.server.clis,
});

interface Cpu {
  readonly outside: Readonly<Record<string, number>>;
  readonly clis: number;
}

/** Milliseconds so far. A CLI that has ended is in the time of what started it, one that lives tells its own. */
function cpuOf(subject: Subject): Cpu {
  const outside: Record<string, number> = {};
  let clis = 0;
  for (const { part, pid } of subject.outside()) {
    const { own, children } = cpuTime(pid);
    outside[part] = (outside[part] ?? 0) + own;
    if (part !== 'redis' && part !== 'workers') clis += children;
  }
  for (const pid of subject.clis()) {
    const { own, children } = cpuTimeOrNone(pid);
    clis += own + children;
  }
  return { outside, clis };
}

function cpuTimeOrNone(pid: number): { own: number; children: number } {
  try {
    return cpuTime(pid);
  } catch {
    return { own: 0, children: 0 }; // it has ended meanwhile
  }
}

/** Milliseconds per prompt, of `prompts` that run as many at once as the subject may. */
async function cpuPerPrompt(subject: Subject, prompts: number): Promise<Cpu> {
  const before = cpuOf(subject);
  await repeat(prompts, subject.atOnce, async () => void (await subject.runner.run(PROMPT)));
  await delay(TIDY_MS);
  const { outside } = cpuOf(subject);
  await delay(BOOT_MS);
  const { clis } = cpuOf(subject);
  const spent = Object.entries(outside).map(([part, ms]) => [
    part,
    (ms - (before.outside[part] ?? 0)) / prompts,
  ]);
  return { outside: Object.fromEntries(spent), clis: (clis - before.clis) / prompts };
}

const sum = (values: Iterable<number>): number => [...values].reduce((all, value) => all + value, 0);
const memoryOf = (pids: readonly number[]): number => sum(pids.map(shareMb));
const outsideMemory = (subject: Subject): number => memoryOf(subject.outside().map(({ pid }) => pid));

/** MB at rest, and at the moment when most is taken by prompts that stream together. */
async function memoryUse(subject: Subject) {
  await delay(BOOT_MS);
  const rest = { outside: outsideMemory(subject), waiting: memoryOf(subject.clis()) };
  let over = false;
  const work = repeat(
    subject.atOnce,
    subject.atOnce,
    async () => void (await subject.runner.run(LONG_PROMPT)),
  );
  const end = work.finally(() => {
    over = true;
  });
  let peak = { outside: 0, clis: 0 };
  while (!over) {
    const now = { outside: outsideMemory(subject), clis: memoryOf(subject.clis()) };
    if (now.clis > peak.clis) peak = now;
    await delay(SAMPLE_MS);
  }
  await end;
  const added = Math.max(0, peak.outside - rest.outside) / subject.atOnce;
  return { rest, cli: peak.clis / subject.atOnce, added };
}

/** Processor time per prompt in turns, memory once. */
export async function measureResources(setting: Setting): Promise<Section> {
  const rounds = setting.quick ? 1 : 2;
  const prompts = setting.quick ? 4 : 24;
  const atOnce = setting.quick ? 2 : 4;
  using hand = startByHand(setting);
  using sdk = startSdkLoop(setting);
  const env = { BULLPEN_CONCURRENCY: String(atOnce) };
  await using cold = await startBullpen(setting, 'cold', env);
  await using warm = await startBullpen(setting, 'warm', env);
  await using session = await startBullpen(setting, 'session', env);
  const subjects: readonly Subject[] = [
    ofProgram(handRunner(hand), atOnce, hand.pid),
    ...(sdk === null ? [] : [ofProgram(sdkRunner(sdk), atOnce, sdk.pid)]),
    ofServer(cold, atOnce),
    ofServer(warm, atOnce),
    ofServer(session, 1),
  ];
  for (const { runner, atOnce: count } of subjects)
    await repeat(setting.quick ? count : WARM_UPS, count, async () => void (await runner.run(PROMPT)));
  await delay(BOOT_MS);

  const cpu = { clis: {} as Samples, outside: {} as Samples };
  const parts: Partial<Record<Way, Record<string, number[]>>> = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const subject of turns(subjects, round)) {
      const { way } = subject.runner;
      const { outside, clis } = await cpuPerPrompt(subject, prompts);
      sample(cpu.clis, way, clis);
      // What starts the CLIs by hand stands for a shell, which is there anyway.
      if (way !== 'hand') sample(cpu.outside, way, sum(Object.values(outside)));
      const known = parts[way] ?? {};
      parts[way] = known;
      for (const [part, ms] of Object.entries(outside)) known[part] = [...(known[part] ?? []), ms];
    }
    setting.log(`processor time, round ${round + 1} of ${rounds}`);
  }
  const memory = { cli: {} as Samples, rest: {} as Samples, waiting: {} as Samples, added: {} as Samples };
  for (const subject of subjects) {
    const { way } = subject.runner;
    const { rest, cli, added } = await memoryUse(subject);
    sample(memory.cli, way, cli);
    if (way === 'hand') continue;
    sample(memory.rest, way, rest.outside);
    sample(memory.added, way, added);
    if (way !== 'sdk') sample(memory.waiting, way, rest.waiting);
  }
  setting.log('memory measured');

  const missing = missingWays(setting);
  const outside = line('CPU outside the CLI', 'ms', cpu.outside, missing);
  const goalRow = (way: Way): Row[] => {
    const value = medianOf(outside.cells[way]);
    return value === null
      ? []
      : [{ name: `CPU outside the CLI: ${way}`, value, unit: 'ms', goal: { relation: '≤', value: 5 } }];
  };
  const partRows = PARTS.map(
    (part): Row => ({
      name: `CPU outside the CLI, warm: ${part}`,
      value: median(parts.warm?.[part] ?? []),
      unit: 'ms',
    }),
  );
  return {
    title: `Processor time and memory per prompt (${atOnce} at once, in a session 1)`,
    lines: [
      line('CPU of the CLI', 'ms', cpu.clis, missing),
      outside,
      line('memory of the CLIs, by prompt at work', 'MB', memory.cli, missing),
      line('memory outside, at rest', 'MB', memory.rest, missing),
      line('memory outside, added by a prompt', 'MB', memory.added, missing),
      line('memory of CLIs that wait', 'MB', memory.waiting, missing),
    ],
    rows: [...goalRow('cold'), ...goalRow('warm'), ...goalRow('session'), ...partRows],
    notes: [
      `Measured after ${WARM_UPS} prompts each.`,
      'Outside: of Bullpen main process, launcher, workers and Redis; of the Agent SDK the program that calls it. Memory as PSS, by prompt at work with the CLIs that wait beside it.',
    ],
    data: { prompts, cpu, parts, memory },
  };
}
