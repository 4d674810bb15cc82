/** What an executor on another host adds to a job, beside the server's own, with an instant CLI. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createBenchClient } from './client.ts';
import { cpuTime, shareMb } from './proc.ts';
import type { Row, Section } from './results.ts';
import { writeScriptedCli } from './scripted-cli.ts';
import type { BenchProgram } from './server.ts';
import { repeat, type Setting, timed } from './setting.ts';
import { median, turns } from './statistics.ts';

/** Before each lone job. */
const PAUSE_MS = 200;
/** After the last job of a block, until everything is written. */
const TIDY_MS = 500;
const AT_ONCE = [1, 4, 8] as const;
/** Jobs before the first measurement: most of the code is compiled by then. */
const WARM_UPS = 40;
const JOB = { prompt: 'anything' };
const ANSWER = 'ok';

interface Plan {
  readonly blocks: number;
  /** Lone jobs in a block. */
  readonly lone: number;
  /** Jobs of a block for each one that runs at once. */
  readonly perSlot: number;
  readonly warmUps: number;
}
const PLAN: Plan = { blocks: 5, lone: 10, perSlot: 8, warmUps: WARM_UPS };
const QUICK_PLAN: Plan = { blocks: 1, lone: 3, perSlot: 2, warmUps: 2 };

/** A way to run the CLIs, and the programs whose processor time it takes. */
interface Subject {
  readonly name: 'here' | 'there';
  readonly programs: readonly BenchProgram[];
  run(): Promise<void>;
}

const row = (name: string, value: number, unit: string): Row => ({ name, value, unit });

export async function measureExecutor(setting: Setting): Promise<Section> {
  const plan = setting.quick ? QUICK_PLAN : PLAN;
  const config = { providers: { claude: { binary: writeScriptedCli(setting.workspace) } } };
  const env = { BULLPEN_CONCURRENCY: String(Math.max(...AT_ONCE)), BULLPEN_WARM_PROCESSES: '0' };
  const CLAUDE_SERVICE_SECRET = randomBytes(32).toString('hex');
  await using executor = await setting.executor({ config, env: { ...env, CLAUDE_SERVICE_SECRET } });
  const http = { BULLPEN_EXECUTOR: 'http', CLAUDE_SERVICE_URL: executor.url, CLAUDE_SERVICE_SECRET };
  await using local = await setting.server({ config, env });
  await using remote = await setting.server({ config, env: { ...env, ...http } });
  using localClient = createBenchClient(local);
  using remoteClient = createBenchClient(remote);
  const subjects: readonly Subject[] = [
    { name: 'here', programs: [local], run: async () => void (await localClient.answer(JOB, ANSWER)) },
    {
      name: 'there',
      programs: [remote, executor],
      run: async () => void (await remoteClient.answer(JOB, ANSWER)),
    },
  ];
  for (const { run } of subjects) await repeat(plan.warmUps, 2, run);
  return {
    title: 'An executor on another host, beside the one of the server',
    lines: [],
    rows: [
      ...(await loneJobs(setting, subjects, plan)),
      ...(await manyJobs(setting, subjects, plan)),
      row('memory of the executor', memoryMb(executor), 'MB'),
    ],
    notes: [
      `Jobs of a scripted CLI that answers at once, a process for each. ${plan.blocks} blocks in turns, on one machine.`,
      `A lone job: ${plan.blocks * plan.lone} of each, ${PAUSE_MS} ms apart, from the POST to its whole answer.`,
      'CPU without that of the CLIs, 4 at once: a server is its main process, launcher, workers and Redis.',
    ],
  };
}

const memoryMb = (program: BenchProgram): number => sum(program.parts().map(({ pid }) => shareMb(pid)));
const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** What has been measured of each subject, in the order of the blocks. */
type Measured = Record<Subject['name'], number[]>;
const nothing = (): Measured => ({ here: [], there: [] });

async function loneJobs({ log }: Setting, subjects: readonly Subject[], plan: Plan): Promise<Row[]> {
  const blocks = nothing();
  for (let block = 0; block < plan.blocks; block += 1) {
    const ms = nothing();
    for (let round = 0; round < plan.lone; round += 1)
      for (const { name, run } of turns(subjects, round)) {
        await delay(PAUSE_MS);
        ms[name].push(await timed(run));
      }
    for (const name of ['here', 'there'] as const) blocks[name].push(median(ms[name]));
    log(`lone jobs, block ${block + 1}: here ${blocks.here.at(-1)}, there ${blocks.there.at(-1)} ms`);
  }
  const differences = blocks.there.map((ms, block) => ms - (blocks.here[block] ?? 0));
  return [
    row('a lone job, executor of the server', median(blocks.here), 'ms'),
    row('a lone job, executor on another host', median(blocks.there), 'ms'),
    row('added to a lone job', median(differences), 'ms'),
    row('a lone job: another host / server', median(blocks.there) / median(blocks.here), '×'),
  ];
}

async function manyJobs({ log }: Setting, subjects: readonly Subject[], plan: Plan): Promise<Row[]> {
  const rows: Row[] = [];
  for (const atOnce of AT_ONCE) {
    const perSecond = nothing();
    const cpuMs: [number[], number[], number[]] = [[], [], []];
    for (let block = 0; block < plan.blocks; block += 1) {
      for (const { name, programs, run } of turns(subjects, block)) {
        await delay(TIDY_MS);
        const before = programs.map(cpuOf);
        const jobs = atOnce * plan.perSlot;
        const ms = await repeat(jobs, atOnce, run);
        perSecond[name].push((jobs * 1000) / ms);
        await delay(TIDY_MS);
        for (const [at, program] of programs.entries())
          cpuMs[name === 'here' ? 0 : at + 1]?.push((cpuOf(program) - (before[at] ?? 0)) / jobs);
      }
      const { here, there } = perSecond;
      log(`${atOnce} at once, block ${block + 1}: here ${here.at(-1)}, there ${there.at(-1)} per s`);
    }
    const { here, there } = perSecond;
    rows.push(
      row(`${atOnce} at once, executor of the server`, median(here), 'per s'),
      row(`${atOnce} at once, executor on another host`, median(there), 'per s'),
      row(`${atOnce} at once: another host / server`, median(there) / median(here), '×'),
    );
    if (atOnce !== 4) continue;
    const [alone, server, executor] = cpuMs;
    rows.push(
      row('CPU per job, executor of the server', median(alone), 'ms'),
      row('CPU per job, executor on another host: of the server', median(server), 'ms'),
      row('of the executor', median(executor), 'ms'),
    );
  }
  return rows;
}

/** Milliseconds so far, of a program without its CLIs. */
const cpuOf = (program: BenchProgram): number => sum(program.parts().map(({ pid }) => cpuTime(pid).own));
