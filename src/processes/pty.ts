/**
 * Pseudo-terminals (PTYs), in the launcher program.
 *
 * Problem: `spawn` of the package leaves the master of each PTY open in the programs that are
 * started later, so one terminal could read and type in another. It also hangs in a write that the
 * program does not read, and can lose output at the exit.
 * Solution: only the package's binary is used, to open a PTY and to change its size.
 */
import { accessSync, closeSync, constants, openSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { delimiter, isAbsolute, join } from 'node:path';
import { ReadStream } from 'node:tty';
import type { TerminalSize } from '../protocol/terminal.ts';
import { type LaunchRequest, systemCode } from './launch.ts';

/** What is used of the package's binary. It opens descriptors without O_CLOEXEC. */
interface Binary {
  open(cols: number, rows: number): { master: number; slave: number; pty: string };
  resize(master: number, cols: number, rows: number): void;
}

export interface Pty {
  /**
   * Starts the requested program in its own place, with the same process id. It opens the PTY
   * before, because a session gets its controlling terminal by that.
   */
  readonly starter: { readonly binary: string; readonly args: readonly string[] };
  /** The descriptors of the starter, at this moment. */
  stdio(): (number | 'ignore')[];
  /** Call it after the start, which has copied the descriptors. */
  started(): void;
  resize(size: TerminalSize): void;
  /**
   * Call it after the exit of the program. Resolves when its output was given to the stream, and
   * closes the PTY. What other processes still write is not waited for.
   */
  drained(): Promise<void>;
  /** The kernel sends SIGHUP to what runs on it. Both streams end. */
  close(): void;
}

/** `stty`: the kernel erases whole characters of a line that is being typed. */
const STARTER = ': <"$0" && stty iutf8 2>/dev/null; exec "$@"';
/** The kernel and the stream hold less than this when the program exits. */
const MAX_UNREAD_BYTES = 256 * 1024;
/** After the exit, while another process has the PTY: no output for so long is the end of it. */
const QUIET_MS = 200;
/** Input that the program does not read is tried again after this time. */
const RETRY_MS = 10;

/** The master of each PTY. A number may be used again before the stream reports its close. */
const masters = new Map<ReadStream, number>();
let native: Binary | null = null;
let devNull: number | null = null;

/**
 * Opens a PTY and passes bytes in both directions until it closes. A side that does not read blocks
 * the other one.
 * @throws Error with the system's `code` when the program cannot be executed. After the fork, such
 *   an error would only be a text on the PTY
 */
export function openPty(options: {
  readonly request: Pick<LaunchRequest, 'binary' | 'args' | 'env'>;
  readonly size: TerminalSize;
  readonly input: Socket;
  readonly output: Socket;
}): Pty {
  const { request, size, input, output } = options;
  checkExecutable(request.binary, request.env['PATH'] ?? '');
  native ??= loadBinary();
  const { resize } = native;
  const { master, slave, pty: path } = open(native, size);
  const stream = new ReadStream(master);
  masters.set(stream, master);
  const given = Promise.withResolvers<void>();
  let slaveIsOpen = true;

  const started = (): void => {
    if (!slaveIsOpen) return;
    slaveIsOpen = false;
    closeSync(slave);
  };
  const close = (): void => {
    started();
    stream.destroy();
  };
  for (const one of [input, output, stream]) one.on('error', () => {}); // 'close' follows
  stream.once('close', () => {
    masters.delete(stream);
    input.destroy();
    output.end(() => output.destroy()); // nothing reads it, so it would not see the other end
  });
  output.once('close', () => {
    close();
    given.resolve();
  });
  output.on('drain', () => stream.resume());
  stream.on('data', (chunk: Buffer) => {
    if (!output.write(chunk)) stream.pause();
  });
  passInput(input, master, stream);

  return {
    starter: { binary: '/bin/sh', args: ['-c', STARTER, path, request.binary, ...request.args] },
    stdio: () => [slave, slave, slave, ...hiddenPtys(slave)],
    started,
    resize({ cols, rows }) {
      if (!stream.destroyed) resize(master, cols, rows);
    },
    drained() {
      closeWhenQuiet(stream, output, close);
      return given.promise;
    },
    close,
  };
}

/** Ends without it when no process has the PTY open: reading fails then. */
function closeWhenQuiet(stream: ReadStream, output: Socket, close: () => void): void {
  let unread = MAX_UNREAD_BYTES;
  let quiet: NodeJS.Timeout | undefined;
  let turn: NodeJS.Immediate | undefined;
  const stop = (): void => {
    clearTimeout(quiet);
    clearImmediate(turn);
  };
  const wait = (): void => {
    stop();
    if (unread <= 0) close();
    else if (!output.writableNeedDrain && !stream.destroyed)
      quiet = setTimeout(() => {
        turn = setImmediate(close); // a late timer runs before the output that waits
      }, QUIET_MS);
  };
  stream.on('data', (chunk: Buffer) => {
    unread -= chunk.length;
    wait();
  });
  output.on('drain', wait);
  stream.once('close', stop);
  wait();
}

/**
 * What follows the three streams in `stdio`: a program has /dev/null in place of every descriptor
 * of a PTY, because `spawn` cannot close it.
 */
export function hiddenPtys(...own: readonly number[]): (number | 'ignore')[] {
  const open = [...masters].filter(([stream]) => !stream.destroyed);
  const hidden = new Set([...open.map(([, master]) => master), ...own]);
  if (hidden.size === 0) return [];
  devNull ??= openSync('/dev/null', 'r');
  const nothing = devNull;
  return Array.from({ length: Math.max(...hidden) - 2 }, (_, index) =>
    hidden.has(index + 3) ? nothing : 'ignore',
  );
}

/** Writes by the descriptor: a write of the stream would block this process. */
function passInput(input: Socket, master: number, stream: ReadStream): void {
  const write = (bytes: Buffer): void => {
    if (stream.destroyed) return;
    const rest = bytes.subarray(writeSome(master, bytes));
    if (rest.length === 0) return void input.resume();
    input.pause();
    setTimeout(write, RETRY_MS, rest);
  };
  input.on('data', write).resume();
}

/** Returns how many bytes the kernel took. */
function writeSome(master: number, bytes: Buffer): number {
  try {
    return writeSync(master, bytes);
  } catch (error) {
    return systemCode(error) === 'EAGAIN' ? 0 : bytes.length; // EIO: it closes
  }
}

/** The binary does not say what is missing. Most often it is a free descriptor, or a free PTY. */
function open(native: Binary, { cols, rows }: TerminalSize): ReturnType<Binary['open']> {
  try {
    return native.open(cols, rows);
  } catch (cause) {
    throw Object.assign(new Error('no PTY can be opened', { cause }), { code: 'EMFILE' });
  }
}

function checkExecutable(program: string, path: string): void {
  let problem: unknown = Object.assign(new Error(`${program} does not exist`), { code: 'ENOENT' });
  for (const folder of isAbsolute(program) ? [''] : path.split(delimiter)) {
    const file = join(folder, program);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return;
      problem = Object.assign(new Error(`${file} is not a file`), { code: 'EACCES' });
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

function loadBinary(): Binary {
  const { requireBinary } = createRequire(import.meta.url)('@lydell/node-pty/requireBinary.js');
  return requireBinary('pty.node');
}
