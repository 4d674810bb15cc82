import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../errors.ts';

/** Who serves a data folder: for the error of a second server, and for clients that look for the first. */
export interface ServerNote {
  readonly pid: number;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Where it listens, `http://127.0.0.1:3000`; null until it does, and when it stops. */
  readonly address: string | null;
  /** It runs for one command and leaves with it. */
  readonly temporary?: boolean;
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

/** So long after its beginning a start is taken for one that is under way. */
const STARTS_WITHIN_MS = 30_000;

/**
 * Leaves a note at the very beginning of a start, before anything is loaded: a command that is typed at the same time
 * waits for this server then. Who gets the data folder is up to its lock.
 * @returns takes the note back
 * @throws AppError config.locked for a temporary server when another one is being started
 */
export function announceStart(
  home: string,
  temporary: boolean,
  isAlive: (pid: number) => boolean,
): () => void {
  const other = readServerNote(home);
  if (other !== null && other.pid !== process.pid && isAlive(other.pid)) {
    const starts = other.address === null && Date.now() - Date.parse(other.startedAt) < STARTS_WITHIN_MS;
    // Else its number is another process's by now, or it is the lock's business.
    if (!temporary || !starts) return () => {};
    throw new AppError(
      'config.locked',
      `another server (pid ${other.pid}) starts with the data folder ${home}`,
    );
  }
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    writeServerNote(home, {
      pid: process.pid,
      startedAt: new Date().toISOString(),
      address: null,
      temporary,
    });
  } catch {
    return () => {}; // the start says what is wrong with the folder
  }
  return () => {
    if (readServerNote(home)?.pid === process.pid) removeServerNote(home);
  };
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
