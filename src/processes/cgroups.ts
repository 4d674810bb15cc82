/**
 * One cgroup (v2) per execution, where the kernel lets us make one. No process leaves it by itself, whatever becomes
 * of its session and its environment, and all that are in it end with one write, also while they fork.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markerMatches } from './marker.ts';
import { findOwnCgroup } from './own-cgroup.ts';

/** A process and the execution whose cgroup it is in. */
export interface CgroupMember {
  readonly pid: number;
  readonly marker: string;
}

/** Every method does nothing where there are no cgroups. */
export interface Cgroups {
  /** Living processes in the cgroups of executions, those below them too. */
  members(): readonly CgroupMember[];
  /** SIGKILLs everything in the cgroups of this marker, or of all below it when it ends in a slash; gives who it was. */
  kill(wanted: string): readonly number[];
  /** Removes those cgroups, as far as they are empty; whether none is left. What was killed takes a moment to be gone. */
  remove(wanted: string): boolean;
}

/** What starts processes needs more: to start them inside. */
export interface StartingCgroups extends Cgroups {
  /** Runs `start`, which must fork before it returns: what it forks is in the marker's own cgroup from its first moment. */
  inside<T>(marker: string, start: () => T): T;
}

const PREFIX = 'bullpen.';
const ULID = '[0-9A-HJKMNP-TV-Z]{26}';
const MARKER = new RegExp(`^(${ULID})/(${ULID})$`);
const FOLDER = new RegExp(`^bullpen\\.(${ULID})\\.(${ULID})$`);

/** @param own folder of our own cgroup; the cgroups of executions are made in it */
export function createCgroups(own: string | null = findOwnCgroup()): Cgroups {
  if (own === null) return NONE;

  const folders = (wanted: string | null): { path: string; marker: string }[] =>
    subfolders(own).flatMap((name) => {
      const [, node, execution] = FOLDER.exec(name) ?? [];
      const marker = `${node}/${execution}`;
      if (node === undefined || (wanted !== null && !markerMatches(marker, wanted))) return [];
      return [{ path: join(own, name), marker }];
    });

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
 * Whether this process may make cgroups in `own`, move into them and back. Found out by doing it: there are rights,
 * read-only mounts, kernels before 5.14 (without cgroup.kill) and cgroups of another type.
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

/** With a start that only runs `start` where the kernel does not let this process make cgroups and move into them. */
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
        // Staying there, we would be killed with the execution. It has never failed; should it, we rather end now.
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
    return false; // gone, or not ours to write
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

/** A CLI may make cgroups of its own below; no process shows up in two of them. */
function processesIn(path: string): number[] {
  const below = subfolders(path).flatMap((name) => processesIn(join(path, name)));
  try {
    const listed = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n');
    return [...listed.filter((line) => line !== '').map(Number), ...below];
  } catch {
    return below; // gone, or a threaded one
  }
}

/** Whether it is gone; not while anything in it still ends. */
function removeTree(path: string): boolean {
  for (const name of subfolders(path)) removeTree(join(path, name));
  try {
    rmdirSync(path);
    return true;
  } catch {
    return !existsSync(path);
  }
}
