import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Which process serves a data folder. A second server names it in its error; clients find the
 * server by it.
 */
export interface ServerNote {
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** `http://127.0.0.1:3000`; null before the server listens and while it stops. */
  readonly address: string | null;
  /** The server runs for one command and stops with it. */
  readonly temporary?: boolean;
}

const noteFile = (dir: string): string => join(dir, 'server.json');

/** Replaces the note by a rename: a reader never sees half of it. */
export function writeServerNote(dir: string, note: ServerNote): void {
  const partial = `${noteFile(dir)}.${process.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(note)}\n`, { mode: 0o600 });
  renameSync(partial, noteFile(dir));
}

/** Returns the note of the last server, which may be dead; null when there is no readable note. */
export function readServerNote(dir: string): ServerNote | null {
  try {
    const note: unknown = JSON.parse(readFileSync(noteFile(dir), 'utf8'));
    return isServerNote(note) ? note : null;
  } catch {
    // The note is only information; the lock decides. A missing or broken note stops nothing.
    return null;
  }
}

export function removeServerNote(dir: string): void {
  rmSync(noteFile(dir), { force: true });
}

/** Whether the process of a note runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'; // another user's process
  }
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
