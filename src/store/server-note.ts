import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDead, readStat } from '../processes/proc-entry.ts';

/**
 * Which process serves a data folder. A second server names it in its error; clients find the
 * server by it.
 */
export interface ServerNote {
  readonly pid: number;
  /** Start time of the process; with `pid` it identifies it. null where there is no /proc. */
  readonly startTicks?: number | null;
  /** RFC 3339. */
  readonly startedAt: string;
  /** `http://127.0.0.1:3000`; null before the server listens and while it stops. */
  readonly address: string | null;
  /** `run`: for one command, with which it stops; `up`: in the background. */
  readonly startedBy: StartedBy;
}

export type StartedBy = 'serve' | 'run' | 'up';

const noteFile = (dir: string): string => join(dir, 'server.json');

/**
 * Notes this process as the server of a data folder. Replaces the note by a rename: a reader never
 * sees half of it.
 */
export function writeServerNote(dir: string, given: Omit<ServerNote, 'pid' | 'startTicks'>): void {
  const { pid } = process;
  const note: ServerNote = { pid, startTicks: readStat(pid)?.startTicks ?? null, ...given };
  const partial = `${noteFile(dir)}.${process.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(note)}\n`, { mode: 0o600 });
  renameSync(partial, noteFile(dir));
}

/** Returns the note of the last server, which may be dead; null when there is no readable note. */
export function readServerNote(dir: string): ServerNote | null {
  try {
    const note: unknown = JSON.parse(readFileSync(noteFile(dir), 'utf8'));
    if (!isServerNote(note)) return null;
    const startedBy = note.startedBy === 'run' || note.startedBy === 'up' ? note.startedBy : 'serve';
    const startTicks = typeof note.startTicks === 'number' ? note.startTicks : null;
    return { ...note, startedBy, startTicks };
  } catch {
    // The note is only information; the lock decides. A missing or broken note stops nothing.
    return null;
  }
}

export function removeServerNote(dir: string): void {
  rmSync(noteFile(dir), { force: true });
}

/** Whether the process of a note runs. Another process that has its pid by now does not count. */
export function isAlive({ pid, startTicks = null }: Pick<ServerNote, 'pid' | 'startTicks'>): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    const isOthers = error instanceof Error && 'code' in error && error.code === 'EPERM';
    if (!isOthers) return false;
  }
  const stat = readStat(pid);
  return stat === null || (!isDead(stat) && (startTicks === null || stat.startTicks === startTicks));
}

function isServerNote(value: unknown): value is ServerNote {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'startedAt' in value &&
    typeof value.startedAt === 'string' &&
    'address' in value &&
    (value.address === null || typeof value.address === 'string')
  );
}
