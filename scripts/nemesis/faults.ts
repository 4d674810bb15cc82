/** Does the planned faults to a system, and takes each of them back. */
import { execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { isAlive } from '../../tests/helpers/proc.ts';
import type { Api } from './api.ts';
import type { FaultKind, PlannedFault } from './plan.ts';
import type { SupervisedServer } from './server.ts';
import type { System } from './system.ts';

const execFileAsync = promisify(execFile);
/** Less than any Redis holds: each command that needs memory is refused. */
const NO_MEMORY = '1mb';
/** Descriptors that a starved server may still open. */
const FEW_FILES = 4;
const BURNERS = 2;

export interface Faults {
  /** Does a fault and resolves when it is over. */
  inflict(fault: PlannedFault): Promise<void>;
  /** How often each kind was done; those that found no process are not counted. */
  readonly done: ReadonlyMap<FaultKind, number>;
}

interface Place {
  readonly system: System;
  readonly api: Api;
  readonly server: SupervisedServer;
  readonly fault: PlannedFault;
}

/** Returns false when there was nothing to do it to. */
type Inflict = (place: Place) => Promise<boolean>;

export function createFaults(system: System, api: Api): Faults {
  const done = new Map<FaultKind, number>();
  return {
    done,
    async inflict(fault) {
      const { servers } = system;
      // The last digits of the number choose the server, the first ones the process.
      const server = servers[Math.floor(fault.pick * 1000) % servers.length];
      if (server === undefined) return;
      if (await INFLICT[fault.kind]({ system, api, server, fault }))
        done.set(fault.kind, (done.get(fault.kind) ?? 0) + 1);
    },
  };
}

const INFLICT: Readonly<Record<FaultKind, Inflict>> = {
  'main.kill': ({ server, fault }) => endServer(server, 'SIGKILL', fault.ms),
  'main.stop': ({ server, fault }) => endServer(server, 'SIGTERM', fault.ms),
  'main.pause': (place) => whileExcused(place, () => pause(place.server.pid, place.fault.ms)),
  'worker.kill': ({ server, fault }) => kill(one(server.workers(), fault)),
  'worker.pause': ({ server, fault }) => pause(one(server.workers(), fault), fault.ms),
  'cli.kill': ({ server, fault }) => kill(one(server.marked(), fault)),
  'cli.pause': ({ server, fault }) => pause(one(server.marked(), fault), fault.ms),
  'launcher.kill': ({ server }) => kill(server.launcher()),
  'launcher.pause': ({ server, fault }) => pause(server.launcher(), fault.ms),
  'redis.kill': ({ system }) => kill(system.redis.pid),
  'redis.pause': ({ system, fault }) => pause(system.redis.pid, fault.ms),
  async 'redis.cut'({ system, fault }) {
    const type = fault.pick < 0.5 ? 'normal' : 'pubsub';
    // While Redis is away, the cut waits, and then cuts those that come back.
    void system.admin.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes').catch(() => undefined);
    return true;
  },
  'net.drop': ({ system, server, fault }) => withProxy(system, server, fault.ms, (proxy) => proxy.drop()),
  'net.stall': ({ system, server, fault }) => withProxy(system, server, fault.ms, (proxy) => proxy.stall()),
  'starve.cpu': (place) => whileExcused(place, () => burn(place.fault.ms)),
  'starve.files': (place) => whileExcused(place, () => starveFiles(place.server.pid, place.fault.ms)),
  async 'starve.redis'({ system, fault }) {
    const limit = (bytes: string): void =>
      void system.admin.call('CONFIG', 'SET', 'maxmemory', bytes).catch(() => undefined);
    limit(NO_MEMORY);
    await delay(fault.ms);
    limit('0');
    return true;
  },
};

/** Picks one of the processes, or null. */
const one = (pids: readonly number[], { pick }: PlannedFault): number | null =>
  pids[Math.floor(pick * pids.length)] ?? null;

async function endServer(
  server: SupervisedServer,
  signal: 'SIGKILL' | 'SIGTERM',
  downMs: number,
): Promise<boolean> {
  if (server.pid === null) return false;
  await server.end(signal, downMs);
  return true;
}

async function kill(pid: number | null): Promise<boolean> {
  return pid !== null && send(pid, 'SIGKILL');
}

async function pause(pid: number | null, ms: number): Promise<boolean> {
  if (pid === null || !send(pid, 'SIGSTOP')) return false;
  const started = startTicks(pid);
  await delay(ms);
  // Another process may have the number by now.
  if (startTicks(pid) === started) send(pid, 'SIGCONT');
  return true;
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return isAlive(pid) && process.kill(pid, signal);
  } catch {
    return false; // it has just ended
  }
}

/** When a process was started (field 22 of proc_pid_stat(5)); null when it is gone. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

async function whileExcused({ api, system }: Place, fault: () => Promise<boolean>): Promise<boolean> {
  // A hog of processors slows every server, and a stopped one may hold what another waits for.
  const over = system.servers.map((server) => api.excuse(server));
  try {
    return await fault();
  } finally {
    for (const end of over) end();
  }
}

async function withProxy(
  system: System,
  server: SupervisedServer,
  ms: number,
  disturb: (proxy: System['proxies'][number]) => void,
): Promise<boolean> {
  const proxy = system.proxies[server.index];
  if (proxy === undefined) return false;
  disturb(proxy);
  await delay(ms);
  proxy.pass();
  return true;
}

/** Keeps two cores busy. The processes end by themselves. */
async function burn(ms: number): Promise<boolean> {
  const code = `for (const end = Date.now() + ${ms}; Date.now() < end; );`;
  for (let count = 0; count < BURNERS; count += 1) spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
  await delay(ms);
  return true;
}

/** Lowers the soft limit of open files to a few more than are open, for a while. */
async function starveFiles(pid: number | null, ms: number): Promise<boolean> {
  if (pid === null) return false;
  const setLimit = (files: string) => execFileAsync('prlimit', [`--pid=${pid}`, `--nofile=${files}:`]);
  try {
    const before = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))?.[1];
    if (before === undefined) return false;
    await setLimit(String(readdirSync(`/proc/${pid}/fd`).length + FEW_FILES));
    await delay(ms);
    if (isAlive(pid)) await setLimit(before);
    return true;
  } catch {
    return false; // the server has just ended
  }
}
