import { readdirSync, readFileSync } from 'node:fs';

/** Processes as /proc shows them: Linux only, and only what this user may read. */

/** Whether a process runs; a zombie, which only waits for its parent, does not. */
export function isAlive(pid: number): boolean {
  const state = statusField(pid, 'State');
  return state !== null && !/^[ZX]/.test(state);
}

/**
 * The pids of every living process that has `value` somewhere in the environment it was started
 * with.
 */
export function processesWithMarker(value: string): number[] {
  return allPids().filter((pid) => (read(pid, 'environ') ?? '').includes(value) && isAlive(pid));
}

/**
 * The pids of every living process below `pid`, at any depth; those that left for another parent
 * are not.
 */
export function descendants(pid: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const child of allPids()) {
    const parent = Number(statusField(child, 'PPid'));
    childrenOf.set(parent, [...(childrenOf.get(parent) ?? []), child]);
  }
  const found: number[] = [];
  const queue = [pid];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const children = childrenOf.get(next) ?? [];
    found.push(...children);
    queue.push(...children);
  }
  return found.filter(isAlive);
}

/** The command line of a process, its arguments joined by spaces, or null when it is gone. */
export function commandLine(pid: number): string | null {
  return read(pid, 'cmdline')?.replaceAll('\0', ' ').trim() ?? null;
}

function allPids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

function statusField(pid: number, name: string): string | null {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(read(pid, 'status') ?? '')?.[1] ?? null;
}

function read(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    // Gone, or not ours to read.
    return null;
  }
}
