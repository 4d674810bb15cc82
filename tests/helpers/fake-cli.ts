import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JournalEntry } from '../fakes/fake-cli-journal.ts';
import type { Step } from '../fakes/fake-cli-steps.ts';

const FAKE_CLI = fileURLToPath(new URL('../fakes/fake-cli.ts', import.meta.url));
// Keeps the compiled source over runs: 40 ms of start instead of 90.
const COMPILE_CACHE = join(tmpdir(), `bullpen-fake-cli-${process.getuid?.() ?? 0}`);

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Writes an executable `claude` into `dir` that runs the fake CLI, with `env` added to its
 * environment (FAKE_JOURNAL and so on, for callers whose own environment does not reach the CLI).
 * Resolves to its path.
 */
export async function installFakeCli(
  dir: string,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const assignments = Object.entries({ NODE_COMPILE_CACHE: COMPILE_CACHE, ...env })
    .map(([name, value]) => `export ${name}=${quote(value)}\n`)
    .join('');
  const path = join(dir, 'claude');
  const script = `#!/bin/sh\n${assignments}exec ${quote(process.execPath)} --no-warnings ${quote(FAKE_CLI)} "$@"\n`;
  await mkdir(dir, { recursive: true });
  await writeFile(path, script, { mode: 0o755 });
  return path;
}

/** What the fake CLIs wrote into the journal so far; empty before the first line. */
export function readJournal(file: string): JournalEntry[] {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  // The journal is written by the fake CLI with this very type.
  return lines.map((line) => JSON.parse(line) as JournalEntry);
}

/** The entries of one kind. */
export const entriesOf = <E extends JournalEntry['event']>(
  entries: readonly JournalEntry[],
  event: E,
): Extract<JournalEntry, { event: E }>[] =>
  // `filter` cannot narrow by a type parameter.
  entries.filter((entry) => entry.event === event) as Extract<JournalEntry, { event: E }>[];

/** The entries of one kind in a journal. */
export const journalOf = <E extends JournalEntry['event']>(
  file: string,
  event: E,
): Extract<JournalEntry, { event: E }>[] => entriesOf(readJournal(file), event);

/**
 * A prompt that makes the fake CLI do `steps`; `text` is what it answers to when the steps say
 * nothing.
 */
export const fakePrompt = (steps: readonly Step[], text = ''): string =>
  `${text}\n${JSON.stringify({ fake: steps })}`;
