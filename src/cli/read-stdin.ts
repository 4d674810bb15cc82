import { fstatSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import { CommandError, usageError } from './command-error.ts';
import { EXIT } from './exit-codes.ts';

/** The part of `process.stdin` that is used. */
export interface Stdin extends AsyncIterable<Buffer> {
  readonly isTTY?: boolean;
  readonly fd?: number;
  destroy?(): unknown;
}

export interface ReadStdinOptions {
  readonly maxBytes: number;
  /** What all of it is called in the message for too much. */
  readonly what: string;
  /** Whether the command can do without: then a stream that was only inherited is not waited for. */
  readonly optional: boolean;
}

/**
 * Reads all of stdin, as UTF-8 text. null: it is a terminal, or was only inherited from a program that leaves it open
 * and writes nothing.
 *
 * A file and a pipe of the shell end, and are read to their end; after `patienceMs` of silence `onSilence` is called.
 * Anything else (a socket, which is how many programs start a command) gets `patienceMs` for its first byte when the
 * command can do without.
 * @throws CommandError for what is no text, too long, or cannot be read
 */
export async function readStdin(
  stdin: Stdin,
  { maxBytes, what, optional }: ReadStdinOptions,
  patienceMs: number,
  onSilence: (waits: boolean) => void,
): Promise<string | null> {
  if (stdin.isTTY === true) return null;
  const waits = !optional || surelyEnds(stdin.fd);
  const silence = Promise.withResolvers<'silence'>();
  const timer = setTimeout(() => {
    onSilence(waits);
    if (!waits) silence.resolve('silence');
  }, patienceMs);
  const bytes = collect(stdin, maxBytes, what, () => clearTimeout(timer));
  try {
    const read = await Promise.race([bytes, silence.promise]);
    if (read !== 'silence') return decode(read);
    bytes.catch(() => {}); // it ends by being destroyed
    stdin.destroy?.();
    return null;
  } finally {
    clearTimeout(timer);
  }
}

function surelyEnds(fd: number | undefined): boolean {
  if (fd === undefined) return true;
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isFile();
  } catch {
    return true; // a closed one
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
    throw new CommandError(EXIT.usage, 'stdin holds something else than UTF-8 text', { cause: error });
  }
}
