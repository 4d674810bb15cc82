/**
 * One cgroup (v2) per execution, if the kernel lets us create one. A process stays in it, even when
 * it changes its session or its environment. One write kills all its processes, even while they
 * fork.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { markerMatches } from './proc-entry.ts';

/** A process and the execution whose cgroup it is in. */
export interface CgroupMember {
  readonly pid: number;
  readonly marker: string;
}

/** The cgroups of executions. Every method does nothing on a system without them. */
export interface Cgroups {
  /** Living processes in the cgroups of executions and in cgroups below them. */
  members(): readonly CgroupMember[];
  /**
   * Sends SIGKILL to all processes in the cgroup of this marker, or of every marker that begins
   * with it when it ends in a slash. Returns their pids.
   */
  kill(wanted: string): readonly number[];
  /** Removes those cgroups if they are empty. Returns whether none is left. */
  remove(wanted: string): boolean;
}

/** Cgroups in which processes can be started. */
export interface StartingCgroups extends Cgroups {
  /** Runs `start`, which must fork before it returns. The new process begins in its own cgroup. */
  inside<T>(marker: string, start: () => T): T;
}

const PREFIX = 'bullpen.';
const ULID = '[0-9A-HJKMNP-TV-Z]{26}';
const MARKER = new RegExp(`^(${ULID})/(${ULID})$`);
const FOLDER = new RegExp(`^bullpen\\.(${ULID})\\.(${ULID})$`);

/** @param own the folder of our own cgroup, which contains the cgroups of executions */
export function createCgroups(own: string | null = findOwnCgroup()): Cgroups {
  if (own === null) return NONE;

  const folders = (wanted: string | null): { path: string; marker: string }[] => {
    const one = wanted === null ? null : folderOf(own, wanted);
    if (wanted !== null && one !== null) return existsSync(one) ? [{ path: one, marker: wanted }] : [];
    return subfolders(own).flatMap((name) => {
      const [, node, execution] = FOLDER.exec(name) ?? [];
      const marker = `${node}/${execution}`;
      if (node === undefined || (wanted !== null && !markerMatches(marker, wanted))) return [];
      return [{ path: join(own, name), marker }];
    });
  };

  return {
    members: () =>
      folders(null).flatMap(({ path, marker }) => processesIn(path).map((pid) => ({ pid, marker }))),
    kill: (wanted) =>
      folders(wanted).flatMap(({ path }) => {
        const pids = processesIn(path);
        return pids.length > 0 && write(path, 'cgroup.kill', '1') ? pids : [];
      }),
    remove: (wanted) =>
      folders(wanted)
        .map(({ path }) => removeTree(path))
        .every(Boolean),
  };
}

/**
 * Whether this process may create cgroups in `own` and move into them and back. Tries it, because
 * it depends on rights, mounts, the type of the cgroup and the kernel (cgroup.kill needs 5.14).
 */
export function mayUseCgroups(own: string | null): own is string {
  if (own === null) return false;
  const trial = join(own, `${PREFIX}trial.${process.pid}`);
  if (!make(trial)) return false;
  try {
    return existsSync(join(trial, 'cgroup.kill')) && moveTo(trial) && moveTo(own);
  } finally {
    removeTree(trial);
  }
}

/** If this process may not use cgroups, `inside` only runs `start`. */
export function createStartingCgroups(own: string | null = findOwnCgroup()): StartingCgroups {
  if (!mayUseCgroups(own)) {
    return { ...NONE, inside: (_marker, start) => start() };
  }
  return {
    ...createCgroups(own),
    inside(marker, start) {
      const path = folderOf(own, marker);
      if (path === null || !make(path) || !moveTo(path)) return start();
      try {
        return start();
      } finally {
        // Must not fail: in there, this process would be killed with the execution. So it may
        // throw.
        writeFileSync(join(own, 'cgroup.procs'), String(process.pid));
      }
    },
  };
}

const NONE: Cgroups = { members: () => [], kill: () => [], remove: () => true };

const folderOf = (own: string, marker: string): string | null => {
  const [, node, execution] = MARKER.exec(marker) ?? [];
  return node === undefined ? null : join(own, `${PREFIX}${node}.${execution}`);
};

const moveTo = (path: string): boolean => write(path, 'cgroup.procs', String(process.pid));

function make(path: string): boolean {
  try {
    mkdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function write(path: string, file: string, text: string): boolean {
  try {
    writeFileSync(join(path, file), text);
    return true;
  } catch {
    return false; // gone, or not writable
  }
}

function subfolders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch {
    return []; // gone
  }
}

/** Includes cgroups below, because a CLI may create its own. */
function processesIn(path: string): number[] {
  const below = subfolders(path).flatMap((name) => processesIn(join(path, name)));
  try {
    const listed = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n');
    return [...listed.filter((line) => line !== '').map(Number), ...below];
  } catch {
    return below; // gone, or a threaded one
  }
}

/** Returns whether it is gone. It stays while a killed process in it is still exiting. */
function removeTree(path: string): boolean {
  if (removeOne(path)) return true; // most often: a CLI rarely creates cgroups
  for (const name of subfolders(path)) removeTree(join(path, name));
  return removeOne(path);
}

function removeOne(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path);
  }
}

/**
 * The folder of this process's cgroup (v2). null when the system is not Linux, has no cgroup2
 * mount, or has one that does not contain our cgroup.
 */
export function findOwnCgroup(): string | null {
  try {
    return ownCgroup(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'));
  } catch {
    return null; // not Linux
  }
}

/**
 * The same from the texts of `/proc/self/mountinfo` (proc_pid_mountinfo(5)) and `/proc/self/cgroup`
 * (cgroups(7)). Next to version 1, cgroup2 is usually mounted as /sys/fs/cgroup/unified.
 */
export function ownCgroup(mountinfo: string, cgroup: string): string | null {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  // Outside our cgroup namespace, or removed.
  if (path === undefined || path.startsWith('/..') || path.endsWith(' (deleted)')) return null;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    if (!after.startsWith('cgroup2 ')) continue;
    const [, , , root = '', mountPoint = ''] = before.split(' ');
    const below =
      root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : null;
    if (below !== null) return resolve(unescaped(mountPoint), `.${below}`);
  }
  return null;
}

/** Spaces and other special characters are written as `\040`. */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
