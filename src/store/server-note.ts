import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Who serves a data folder: for the error of a second server, and for clients that look for the first. */
export interface ServerNote {
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Where it listens, `http://127.0.0.1:3000`; null until it does. */
  readonly address: string | null;
}

const noteFile = (dir: string): string => join(dir, 'server.json');

/** Replaces the note as a whole, so that a reader never sees half of it. */
export function writeServerNote(dir: string, note: ServerNote): void {
  const partial = `${noteFile(dir)}.${process.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(note)}\n`, { mode: 0o600 });
  renameSync(partial, noteFile(dir));
}

/** The note of the last server, which may be dead; null when there is none that can be read. */
export function readServerNote(dir: string): ServerNote | null {
  try {
    const note: unknown = JSON.parse(readFileSync(noteFile(dir), 'utf8'));
    return isServerNote(note) ? note : null;
  } catch {
    // Only a courtesy: a missing or broken note never stops anything, the lock decides.
    return null;
  }
}

export function removeServerNote(dir: string): void {
  rmSync(noteFile(dir), { force: true });
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
