/**
 * The commands that were typed into a terminal. A shell that marks its prompts (OSC 133) is exact.
 * Else a line counts as typed from its first key to Enter, and its text is recorded only when the
 * screen shows it: a password is not echoed.
 */
import { appendFile, type FileHandle, open } from 'node:fs/promises';
import { foreignCursor } from '../errors.ts';
import { systemCode } from '../processes/launch.ts';
import type { TerminalCommand } from '../protocol/terminal.ts';
import type { Mark, Screen } from './screen.ts';

const MAX_TEXT = 4096;
/** Of the file. Later commands are not recorded. */
const MAX_COMMANDS = 10_000;
/** A line that the screen does not show by then is not shown. */
const SHOWN_WITHIN_MS = 2000;
/** Lines that wait for that: a text of thousands of lines may come as one input. */
const MAX_PENDING = 100;
/** Around what is pasted (bracketed paste). */
const PASTE_BEGIN = '\x1b[200~';
const PASTE_END = '\x1b[201~';

export interface History {
  /** What is about to be written to the program. */
  typed(data: string): void;
  onLineFeed(): void;
  onShellMark(mark: string): void;
  /** Resolves when all is in the file. */
  close(): Promise<void>;
}

export interface HistoryOptions {
  readonly file: string;
  readonly screen: Pick<Screen, 'mark' | 'textFrom'>;
  /** Milliseconds since the epoch. */
  now(): number;
  onFailure(error: unknown): void;
}

/** A line that was typed, until the screen has shown it. */
interface TypedLine {
  readonly at: number;
  /** Null: keys that edit have changed it, so only the screen knows it. */
  readonly text: string | null;
  /** Of its first key. Null: on the alternate screen, or before its prompt was there. */
  readonly mark: Mark | null;
  /** What the screen showed at Enter. */
  readonly shown: string;
  readonly timer: NodeJS.Timeout;
}

/** A line of the file. The second kind completes the last command. */
type Entry =
  | { readonly at: string; readonly text: string | null }
  | { readonly exitCode: number | null; readonly finishedAt: string };

export function createHistory({ file, screen, now, onFailure }: HistoryOptions): History {
  let writing: Promise<void> = Promise.resolve();
  /** Lines that the next write appends. */
  let unwritten = '';
  let count = 0;
  let hasShellMarks = false;
  /** Where the prompt ends. */
  let prompt: Mark | null = null;
  /** A command runs that the shell has marked. */
  let isRunning = false;

  const keysOf = createKeys();
  let text: string | null = '';
  let mark: Mark | null = null;
  const pending: TypedLine[] = [];

  const rfc3339 = (at: number): string => new Date(at).toISOString();

  function write(entry: Entry): void {
    if (unwritten === '') writing = writing.then(append).catch(onFailure);
    unwritten += `${JSON.stringify(entry)}\n`;
  }
  async function append(): Promise<void> {
    const lines = unwritten;
    unwritten = '';
    await appendFile(file, lines, { mode: 0o600 });
  }
  function record(at: number, command: string | null): void {
    count += 1;
    if (count <= MAX_COMMANDS) write({ at: rfc3339(at), text: command?.slice(0, MAX_TEXT) ?? null });
  }

  function enter(): void {
    const wasTyped = text !== '';
    const line = { at: now(), text, mark, shown: mark === null ? '' : screen.textFrom(mark) };
    text = '';
    mark = null;
    if (!wasTyped || hasShellMarks) line.mark?.marker.dispose();
    else pending.push({ ...line, timer: setTimeout(settleFirst, SHOWN_WITHIN_MS) });
    if (pending.length > MAX_PENDING) settleFirst();
  }

  /** The screen has had its time to show the first line. */
  function settleFirst(): void {
    const line = pending.shift();
    if (line === undefined) return;
    clearTimeout(line.timer);
    const shown = line.mark === null ? '' : screen.textFrom(line.mark);
    line.mark?.marker.dispose();
    if (!hasShellMarks) record(line.at, textOf(line, shown));
  }

  return {
    typed(data) {
      for (const key of keysOf(data)) {
        if (key === '\r' || key === '\n') enter();
        else if (key === '\x15') text = '';
        else if (key === '\x03' || key === '\x04') {
          text = '';
          mark?.marker.dispose();
          mark = null;
        } else if (key === '\x7f' || key === '\b') text = text?.slice(0, -1) ?? null;
        else {
          // The place of a line that is typed ahead, before its prompt, is not known.
          if (mark === null && pending.length === 0) mark = screen.mark();
          if (key < ' ') text = null;
          else if (text !== null && text.length < MAX_TEXT) text += key;
        }
      }
    },
    onLineFeed() {
      const [line] = pending;
      if (line === undefined) return;
      const shown = line.mark === null ? '' : screen.textFrom(line.mark);
      if (shown !== '' && textOf(line, shown) !== null) settleFirst();
    },
    onShellMark(sequence) {
      hasShellMarks = true;
      const [kind, code] = sequence.split(';');
      if (kind === 'B') {
        prompt?.marker.dispose();
        prompt = screen.mark();
      } else if (kind === 'C' && prompt !== null) {
        const end = screen.mark();
        const command = screen.textFrom(prompt, end ?? undefined).trim();
        end?.marker.dispose();
        isRunning = command !== '';
        if (isRunning) record(now(), command);
      } else if (kind === 'D' && isRunning) {
        isRunning = false;
        const exitCode = /^\d+$/.test(code ?? '') ? Number(code) : null;
        if (count <= MAX_COMMANDS) write({ exitCode, finishedAt: rfc3339(now()) });
      }
    },
    async close() {
      while (pending.length > 0) settleFirst();
      await writing;
    },
  };
}

/** Null: the screen does not show it. */
function textOf({ text, shown: atEnter }: TypedLine, shown: string): string | null {
  if (text === null) return shown.trim() || atEnter.trim() || null;
  const wanted = text.trim();
  return [shown, atEnter].some((line) => line.trim() === wanted || line.includes(wanted)) ? wanted : null;
}

/** Keys: characters, and escape sequences as one key each. What is pasted has no Enter. */
function createKeys(): (data: string) => readonly string[] {
  /** A long paste comes in several inputs. */
  let isPasted = false;
  return (data) => {
    const keys = data.match(/\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[\s\S]?)|[\s\S]/gu) ?? [];
    return keys.flatMap((key) => {
      const isEdge = key === PASTE_BEGIN || key === PASTE_END;
      if (isEdge) isPasted = key === PASTE_BEGIN;
      return isEdge ? [] : isPasted && /^[\r\n]$/.test(key) ? ['\x16'] : [key];
    });
  };
}

/**
 * A page of commands, from the oldest. `cursor`: the number of the first one.
 * @throws AppError request.invalid for a foreign cursor
 */
export async function readHistory(
  file: string,
  cursor: string | null,
  limit: number,
): Promise<{ readonly data: readonly TerminalCommand[]; readonly nextCursor: string | null }> {
  const first = cursor === null ? 0 : numberOf(cursor);
  const commands: TerminalCommand[] = [];
  let number = -1;
  for await (const line of linesOf(file)) {
    const entry = parseEntry(line);
    if (entry === null) continue;
    if ('at' in entry) {
      number += 1;
      if (number >= first + limit) return { data: commands, nextCursor: String(number) };
      if (number >= first) commands.push({ ...entry, exitCode: null, finishedAt: null });
    } else {
      const last = commands.pop();
      if (last !== undefined) commands.push({ ...last, ...entry });
    }
  }
  return { data: commands, nextCursor: null };
}

function numberOf(cursor: string): number {
  if (/^\d{1,9}$/.test(cursor)) return Number(cursor);
  throw foreignCursor();
}

/** None of a file that does not exist: no command was typed yet. */
async function* linesOf(file: string): AsyncIterable<string> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    yield* handle.readLines();
  } finally {
    await handle.close(); // a reader that has enough does not
  }
}

/** Null: a line that a killed server left incomplete. */
function parseEntry(line: string): Entry | null {
  try {
    return JSON.parse(line) as Entry; // `as`: this server wrote the file
  } catch {
    return null;
  }
}
