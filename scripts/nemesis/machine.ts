/** Reads from /proc, temp folders and cgroups what a system uses and what it has left. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOwnCgroup } from '../../src/processes/cgroups.ts';
import { commandLine, isAlive } from '../../tests/helpers/proc.ts';
import { descendantsOf, shareMb } from '../bench/proc.ts';
import type { Violation } from './invariants.ts';
import type { System } from './system.ts';

/** What one process uses. */
export interface Use {
  /** `main 1`, `launcher 1`, `redis` */
  readonly part: string;
  /** PSS in MB (1e6 bytes). */
  readonly memoryMb: number;
  readonly files: number;
}

export function measureUse({ servers, redis }: System): Use[] {
  const parts: [string, number | null][] = servers.flatMap((server): [string, number | null][] => [
    [`main ${server.index + 1}`, server.pid],
    [`launcher ${server.index + 1}`, server.launcher()],
  ]);
  return [...parts, ['redis', redis.pid] as const].flatMap(([part, pid]) =>
    pid === null ? [] : [{ part, memoryMb: shareMb(pid), files: readdirSync(`/proc/${pid}/fd`).length }],
  );
}

/**
 * How much more a part may use after a run than before it, with nothing to do both times. Measured
 * over runs of six minutes: see docs/reliability.md.
 */
const MAY_GROW = {
  main: { memoryMb: 60, files: 12 },
  launcher: { memoryMb: 15, files: 6 },
  redis: { memoryMb: 10, files: 12 },
} as const;
/** A job that is kept, with its events, may take so much of Redis: 20 KiB, as measured, twice. */
const MB_PER_JOB = 0.04;

/** @param jobs how many more jobs are kept after it */
export function findGrowth(before: readonly Use[], after: readonly Use[], jobs: number): Violation[] {
  return before.flatMap((first) => {
    const last = after.find(({ part }) => part === first.part);
    const [kind = ''] = first.part.split(' ');
    const may = MAY_GROW[kind as keyof typeof MAY_GROW]; // measureUse gives these names
    const wrong = (what: string) => ({ invariant: 'nothing has grown', what, jobIds: [] });
    if (last === undefined) return [wrong(`${first.part} does not run`)];
    const found: Violation[] = [];
    const mayUseMb = first.memoryMb + may.memoryMb + (kind === 'launcher' ? 0 : jobs * MB_PER_JOB);
    if (last.memoryMb > mayUseMb)
      found.push(
        wrong(`${first.part}: ${first.memoryMb.toFixed()} MB before, ${last.memoryMb.toFixed()} after`),
      );
    if (last.files > first.files + may.files)
      found.push(wrong(`${first.part}: ${first.files} open files before, ${last.files} after`));
    return found;
  });
}

const left = (what: string): Violation => ({ invariant: 'nothing is left', what, jobIds: [] });

/** Zombies that a living process of the system has not waited for. */
export function findZombies({ servers }: System): Violation[] {
  return servers.flatMap(({ pid }) => {
    const own = pid === null ? [] : [pid, ...descendantsOf(pid)];
    return own
      .filter((one) => !isAlive(one))
      .map((one) => left(`a zombie ${one} below the main process ${pid}`));
  });
}

/** After the servers have stopped. */
export function findLeftovers({ servers, temp }: System): Violation[] {
  const cgroup = findOwnCgroup();
  const groups = cgroup === null ? [] : readdirSync(cgroup);
  const found = servers.flatMap((server) => {
    const { nodeId } = server;
    return [
      ...server.marked().map((pid) => `the process ${pid} (${commandLine(pid)}) of ${nodeId}`),
      ...readdirSync(join(server.home, 'tmp')).map((name) => `the scratch folder ${name}`),
      ...groups.filter((name) => name.startsWith(`bullpen.${nodeId}.`)).map((name) => `the cgroup ${name}`),
    ];
  });
  return [
    ...found,
    ...readdirSync(temp).map((name) => `the file ${name} in TMPDIR`),
    ...processesOf(servers.map(({ home }) => home)).map((pid) => `the process ${pid} (${commandLine(pid)})`),
  ].map(left);
}

/** Living processes whose environment names one of the data folders, such as workers. */
function processesOf(homes: readonly string[]): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return homes.some((home) => environment.includes(home)) && isAlive(pid);
      } catch {
        return false; // gone, or not ours
      }
    });
}
