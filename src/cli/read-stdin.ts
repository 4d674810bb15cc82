import { fstatSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import { CommandError, EXIT, usageError } from './failures.ts';

/** The used part of `process.stdin`. */
export interface Stdin extends AsyncIterable<Buffer> {
  readonly isTTY?: boolean;
  readonly fd?: number;
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
    if (read !== 'silence') return decode(read);
    bytes.catch(() => {}); // the next line makes it fail
    stdin.destroy?.();
    return null;
  } finally {
    clearTimeout(timer);
  }
}

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

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new CommandError(EXIT.usage, 'stdin is not UTF-8 text', { cause: error });
  }
}
