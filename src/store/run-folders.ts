/**
 * The folders in which this user has typed `bullpen run` or `bullpen batch`: where the server of such a command may
 * run jobs when the settings name no roots. The list lies in the data folder, so only a process that could replace
 * the whole server adds to it. It is never filled from a request, a record or the content of a folder.
 */
import { appendFileSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

const fileOf = (home: string): string => join(home, 'run-folders.ndjson');

/** A folder counts for so long after the last command there: as long as a finished job is kept. */
const KEPT_MS = 30 * 24 * 3_600_000;

interface Entry {
  /** Real path. */
  readonly folder: string;
  /** Milliseconds. */
  readonly at: number;
}

/** A folder is written again when its entry is so old: one line a day, however often it is used. */
const FRESH_MS = 24 * 3_600_000;

/** Adds a folder. One that is not there is left to the server to refuse. */
export function rememberFolder(home: string, folder: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  let real: string;
  try {
    real = realpathSync(folder);
  } catch {
    return;
  }
  const now = Date.now();
  if (entriesOf(home).some((one) => one.folder === real && one.at > now - FRESH_MS)) return;
  const entry: Entry = { folder: real, at: now };
  // On a line of its own, also behind half a line of a command that was killed.
  appendFileSync(fileOf(home), `\n${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

function entriesOf(home: string): readonly Entry[] {
  if (statSync(fileOf(home), { throwIfNoEntry: false }) === undefined) return [];
  return readFileSync(fileOf(home), 'utf8').split('\n').flatMap(entryOf);
}

/** Reads the list, and reads it again when it has grown: real paths, none of which holds the data folder. */
export function runFolders(home: string, now: () => number = Date.now): () => readonly string[] {
  let size = -1;
  let entries: readonly Entry[] = [];
  const realHome = realpathSync(home);
  return () => {
    const sizeNow = statSync(fileOf(home), { throwIfNoEntry: false })?.size ?? 0;
    if (sizeNow !== size) {
      size = sizeNow;
      entries = entriesOf(home);
    }
    const young = entries.filter(({ at }) => at > now() - KEPT_MS).map(({ folder }) => folder);
    return [...new Set(young)].filter((folder) => !holds(folder, realHome));
  };
}

function entryOf(line: string): Entry[] {
  try {
    const entry: unknown = JSON.parse(line);
    const fits =
      typeof entry === 'object' &&
      entry !== null &&
      'folder' in entry &&
      typeof entry.folder === 'string' &&
      entry.folder.startsWith('/') &&
      'at' in entry &&
      typeof entry.at === 'number';
    return fits ? [{ folder: String(entry.folder), at: Number(entry.at) }] : [];
  } catch {
    return []; // the end of the file, or half a line of a process that was killed
  }
}

const holds = (folder: string, inner: string): boolean => !relative(folder, inner).startsWith('..');
