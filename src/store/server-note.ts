import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../errors.ts';

/** Which process serves a data folder. A second server names it in its error; clients find the server by it. */
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

/** A note without an address is taken for a start in progress for this long. */
const STARTS_WITHIN_MS = 30_000;

/**
 * Writes a note at the very beginning of a start, before anything is loaded. A command that runs at
 * the same time then waits for this server. The lock decides which server gets the data folder.
 * @returns a function that removes the note again
 * @throws AppError config.locked for a temporary server while another server is starting
 */
export function announceStart(
  home: string,
  temporary: boolean,
  isAlive: (pid: number) => boolean,
): () => void {
  const other = readServerNote(home);
  if (other !== null && other.pid !== process.pid && isAlive(other.pid)) {
    const starts = other.address === null && Date.now() - Date.parse(other.startedAt) < STARTS_WITHIN_MS;
    // Otherwise the pid may belong to another process by now; the lock decides.
    if (!temporary || !starts) return () => {};
    throw new AppError(
      'config.locked',
      `another server (pid ${other.pid}) is starting with the data folder ${home}`,
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
    return () => {}; // the start itself reports what is wrong with the folder
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
