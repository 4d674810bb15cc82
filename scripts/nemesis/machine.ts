/** Reads from /proc, temp folders and cgroups what a system uses and what it has left. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOwnCgroup } from '../../src/processes/cgroups.ts';
import { commandLine, isAlive } from '../../tests/helpers/proc.ts';
import { descendantsOf, shareMb } from '../bench/proc.ts';
import type { Use } from './growth.ts';
import type { Violation } from './invariants.ts';
import type { System } from './system.ts';

/** Descriptors of a main process for each worker: two streams of output and the messages. */
const MAIN_FILES_PER_WORKER = 3;
const REDIS_FILES_PER_WORKER = 2;

/** How many workers run differs from time to time, so their descriptors do not count. */
export function measureUse({ servers, redis }: System): Use[] {
  const workers = servers.map((server) => server.workers().length);
  const parts: [string, number | null, number][] = servers.flatMap((server, at) => [
    [`main ${server.index + 1}`, server.pid, MAIN_FILES_PER_WORKER * (workers[at] ?? 0)],
    [`launcher ${server.index + 1}`, server.launcher(), 0],
  ]);
  parts.push(['redis', redis.pid, REDIS_FILES_PER_WORKER * workers.reduce((a, b) => a + b, 0)]);
  return parts.flatMap(([part, pid, ofWorkers]) => {
    if (pid === null) return [];
    return [{ part, memoryMb: shareMb(pid), files: readdirSync(`/proc/${pid}/fd`).length - ofWorkers }];
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
