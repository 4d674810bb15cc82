import { fstatSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import { CommandError, EXIT, usageError } from './failures.ts';

/** The used part of `process.stdin`. */
export interface Stdin extends AsyncIterable<Buffer> {
  readonly isTTY?: boolean;
  readonly fd?: number;
  setRawMode?(on: boolean): unknown;
  destroy?(): unknown;
}

export interface ReadStdinOptions {
  readonly maxBytes: number;
  /** Names the text in the error for too many bytes. */
  readonly what: string;
  /** The command can run without it, and does not wait for an inherited stream that stays open. */
  readonly optional: boolean;
}

/**
 * Reads all of stdin as UTF-8 text. Returns null for a terminal, and for an inherited stream that
 * stays open and empty.
 *
 * Files and pipes are read to their end. Another stream, such as the socket with which many
 * programs start a command, must send its first byte within `patienceMs` if stdin is optional.
 * @param onSilence called once after `patienceMs` without a byte; `waits`: stdin is still read
 * @throws CommandError for bytes that are not UTF-8, are too many, or cannot be read
 */
export async function readStdin(
  stdin: Stdin,
  { maxBytes, what, optional }: ReadStdinOptions,
  patienceMs: number,
  onSilence: (waits: boolean) => void,
): Promise<string | null> {
  if (stdin.isTTY === true) return null;
  const waits = !optional || willEnd(stdin.fd);
  const silence = Promise.withResolvers<'silence'>();
  const timer = setTimeout(() => {
    onSilence(waits);
    if (!waits) silence.resolve('silence');
  }, patienceMs);
  const bytes = collect(stdin, maxBytes, what, () => clearTimeout(timer));
  try {
    const read = await Promise.race([bytes, silence.promise]);
    if (read !== 'silence') return textIn(read, 'stdin');
    bytes.catch(() => {}); // the next line makes it fail
    stdin.destroy?.();
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The lines of a stream as they come, without their ends.
 * @param signal ends them; then the stream is closed, because an open one keeps the process alive
 */
export async function* linesOf(stdin: Stdin, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
  signal.addEventListener('abort', () => void stdin.destroy?.(), { once: true });
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for await (const chunk of stdin) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    if (!signal.aborted) throw usageError(`stdin cannot be read: ${messageOf(error)}`);
  }
  if (rest !== '' && !signal.aborted) yield rest;
}

/** One line that is typed on a terminal, which does not show it; null: stdin is no terminal. */
export async function readHidden(stdin: Stdin): Promise<string | null> {
  if (stdin.isTTY !== true) return null;
  let typed = '';
  stdin.setRawMode?.(true);
  try {
    for await (const chunk of stdin) {
      for (const key of chunk.toString()) {
        if (key === INTERRUPT) throw new CommandError(EXIT.cancelled, 'interrupted');
        if (key === '\r' || key === '\n' || key === END) return typed;
        typed = BACKSPACE.includes(key) ? typed.slice(0, -1) : typed + key;
      }
    }
    return typed;
  } finally {
    stdin.setRawMode?.(false);
  }
}

/** Ctrl-C, Ctrl-D and the erase keys, as a terminal in raw mode sends them. */
const INTERRUPT = '\u0003';
const END = '\u0004';
const BACKSPACE = ['\u007f', '\b'];

function willEnd(fd: number | undefined): boolean {
  if (fd === undefined) return true;
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isFile();
  } catch {
    return true; // it is closed
  }
}

async function collect(stdin: Stdin, maxBytes: number, what: string, onFirst: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stdin) {
      onFirst();
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxBytes) throw usageError(`${what} is larger than ${maxBytes} bytes`);
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw usageError(`stdin cannot be read: ${messageOf(error)}`);
  }
  return Buffer.concat(chunks);
}

/**
 * The text of stdin or of a file that a person names, without the byte order mark that some editors
 * put before it.
 * @param what names it in the error
 * @throws CommandError for bytes that are not UTF-8
 */
export function textIn(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new CommandError(EXIT.usage, `${what} is not UTF-8 text`, { cause: error });
  }
}
