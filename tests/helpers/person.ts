/** A person at a real terminal: runs a command on a PTY and sees what its screen shows. */
import { type IPty, spawn } from '@lydell/node-pty';
import headless from '@xterm/headless';
import { onTestFinished } from 'vitest';
import { eventually } from './eventually.ts';

export interface Person {
  type(text: string): void;
  resize(cols: number, rows: number): void;
  /** The lines of the screen, without the empty ones at its end. */
  screen(): string;
  /** Resolves when the screen matches. */
  sees(pattern: RegExp): Promise<string>;
  /** All that was written, with its escape sequences. */
  written(): string;
  signal(name: NodeJS.Signals): void;
  /** Bracketed paste, the alternate screen, the visible cursor and so on, as they are now. */
  modes(): object;
  /** The exit code, once the command has ended. */
  readonly ended: Promise<number>;
}

export interface PersonOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly cols?: number;
  readonly rows?: number;
}

export function sitDown(command: string, args: readonly string[], options: PersonOptions): Person {
  const { cols = 80, rows = 24, env, cwd } = options;
  const pty: IPty = spawn(command, [...args], { cols, rows, cwd, env, name: 'xterm-256color' });
  const terminal = new headless.Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true });
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  let written = '';
  let isOver = false;
  pty.onData((text) => {
    written += text;
    terminal.write(text);
  });
  // As every terminal does: answers to queries come as if they were typed.
  terminal.onData((answer) => pty.write(answer));
  pty.onExit(({ exitCode }) => {
    isOver = true;
    terminal.write('', () => resolve(exitCode)); // the screen shows all of it then
  });
  onTestFinished(async () => {
    if (!isOver) pty.kill('SIGKILL');
    await ended;
  });
  const screen = (): string => {
    const { active } = terminal.buffer;
    const lines = Array.from(
      { length: terminal.rows },
      (_, at) => active.getLine(active.viewportY + at)?.translateToString(true) ?? '',
    );
    return lines.join('\n').trimEnd();
  };
  return {
    type: (text) => pty.write(text),
    resize(newCols, newRows) {
      terminal.resize(newCols, newRows);
      pty.resize(newCols, newRows);
    },
    screen,
    async sees(pattern) {
      try {
        return await eventually(() => (pattern.test(screen()) ? screen() : null));
      } catch {
        throw new Error(`the screen does not show ${pattern} but:\n${screen()}`);
      }
    },
    written: () => written,
    signal: (name) => pty.kill(name),
    modes: () => ({ ...terminal.modes, buffer: terminal.buffer.active.type }),
    ended,
  };
}
