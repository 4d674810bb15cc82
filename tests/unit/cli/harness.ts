/** The command line as a user has it, with streams of its own and no process. */
import { PassThrough, Readable } from 'node:stream';
import type { CommandLineOptions } from '../../../src/cli/command-line.ts';
import { runCommandLine } from '../../../src/cli/command-line.ts';
import { createServerFinder } from '../../../src/cli/find-server.ts';
import { createLogins } from '../../../src/cli/logins.ts';
import type { Sink } from '../../../src/cli/output.ts';

export interface Screen extends Sink {
  /** Everything written so far. */
  readonly written: string;
}

/** @param isTTY whether it is a terminal */
export function screen(isTTY = false): Screen {
  let written = '';
  return {
    isTTY,
    columns: 100,
    write(text: string) {
      written += text;
    },
    get written() {
      return written;
    },
  };
}

export interface Typed {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Surroundings extends Partial<Omit<CommandLineOptions, 'stdin' | 'stdout' | 'stderr'>> {
  /** Text on stdin; null: stdin is a terminal. */
  readonly stdin?: string | Buffer | null;
  readonly terminal?: boolean;
  /** Sees what is written to stdout and stderr. */
  readonly screens?: { readonly stdout: Screen; readonly stderr: Screen };
}

/** A terminal on which a test types. */
export function keyboard() {
  const keys = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => keys });
  return { keys, type: (text: string) => void keys.write(text) };
}

/** Interrupts that a test raises. */
export function manualInterrupts() {
  const listeners = new Set<(count: number) => void>();
  let count = 0;
  return {
    listen(onInterrupt: (count: number) => void) {
      listeners.add(onInterrupt);
      return { [Symbol.dispose]: () => void listeners.delete(onInterrupt) };
    },
    raise() {
      count += 1;
      for (const onInterrupt of [...listeners]) onInterrupt(count);
      return listeners.size > 0;
    },
  };
}

/** Runs `bullpen ARGS…` with no server of its own to start unless the test gives one. */
export async function type(args: readonly string[], given: Surroundings = {}): Promise<Typed> {
  const { stdin = null, terminal = false, env = {}, screens, ...rest } = given;
  const { stdout, stderr } = screens ?? { stdout: screen(terminal), stderr: screen(terminal) };
  const input = Object.assign(Readable.from(stdin === null ? [] : [Buffer.from(stdin)]), {
    isTTY: stdin === null,
  });
  const code = await runCommandLine(args, {
    env,
    cwd: '/work',
    version: '1.2.3',
    stdin: input,
    openTerminal: () => null,
    openScreen: () => null,
    openBrowser: async () => false,
    stdout,
    stderr,
    interrupts: manualInterrupts(),
    finder: (seen) =>
      createServerFinder({
        env: seen,
        readHome: async () => '/data',
        readNote: () => null,
        isAlive: () => false,
        readLogin: (url) => createLogins(seen).tokenFor(url),
      }),
    now: () => new Date('2026-11-21T12:00:00Z'),
    async sleep(_ms, signal) {
      signal?.throwIfAborted();
    },
    serveExecutor: async () => {
      throw new Error('a test must not run an executor');
    },
    serve: async () => {
      throw new Error('no server was expected to run');
    },
    background: () => ({
      start: async () => {
        throw new Error('no server was expected to start');
      },
      find: async () => null,
    }),
    allowFolder: async () => {},
    startServer: async () => {
      throw new Error('no server was expected to start');
    },
    ...rest,
  });
  return { code, out: stdout.written, err: stderr.written };
}
