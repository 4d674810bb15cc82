/**
 * The folders in which this user ran `bullpen run` or `bullpen batch`. The server of such a command
 * may run jobs there when the settings name no roots.
 *
 * The list lies in the data folder, so only a process that could replace the whole server can add
 * to it. Requests, records and the content of folders never add to it.
 */
import { appendFileSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

const fileOf = (home: string): string => join(home, 'run-folders.ndjson');

/**
 * A folder stays allowed this long after the last command there: as long as finished jobs are kept.
 */
const KEPT_MS = 30 * 24 * 3_600_000;

interface Entry {
  /** Real path. */
  readonly folder: string;
  /** Milliseconds. */
  readonly at: number;
}

/** A folder gets a new entry when its last one is older: at most one line a day. */
const FRESH_MS = 24 * 3_600_000;

/** Adds a folder. Ignores a missing one: the server refuses it. */
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
  // The leading line break ends a line that a killed command left unfinished.
  appendFileSync(fileOf(home), `\n${JSON.stringify(entry)}\n`, { mode: 0o600 });
}

function entriesOf(home: string): readonly Entry[] {
  if (statSync(fileOf(home), { throwIfNoEntry: false }) === undefined) return [];
  return readFileSync(fileOf(home), 'utf8').split('\n').flatMap(entryOf);
}

/**
 * Returns a function that reads the list when the file has changed. It leaves out folders around
 * the data folder.
 */
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
    return [...new Set(young)].filter((folder) => !contains(folder, realHome));
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
    return []; // an empty line, or one that a killed process left unfinished
  }
}

const contains = (folder: string, inner: string): boolean => !relative(folder, inner).startsWith('..');
