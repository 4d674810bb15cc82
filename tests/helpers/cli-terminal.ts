/** A real CLI on a pseudo-terminal, and what its provider says about its screens. */
import { mkdir, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from '@lydell/node-pty';
import { Terminal } from '@xterm/headless';
import { createScrubber } from '../../scripts/offline-model/scrub.ts';
import type { TerminalSize } from '../../src/protocol/terminal.ts';
import type { ScreenPattern } from '../../src/providers/interactive.ts';
import { createScreenMatcher, type ScreenMatch } from '../../src/terminals/screen-status.ts';

const SIZES: readonly TerminalSize[] = [
  { cols: 80, rows: 24 },
  { cols: 200, rows: 50 },
];

/** Walks in each size at once. Settles when all have ended, so that no CLI outlives its test. */
export async function inEachSize(walk: (size: TerminalSize) => Promise<void>): Promise<void> {
  const walks = await Promise.allSettled(SIZES.map(walk));
  for (const one of walks) if (one.status === 'rejected') throw one.reason;
}

/** Keys, as a terminal sends them. */
export const KEY = {
  enter: '\r',
  escape: '\x1b',
  up: '\x1b[A',
  down: '\x1b[B',
  clear: '\x15',
  two: '2',
  three: '3',
} as const;

const WITHIN_MS = 60_000;
/** Longer than a busy CLI takes for its next screen, which a repeated key would answer. */
const RESEND_MS = 12_000;
/** As a person types: a CLI takes an Enter that follows at once for a part of what was pasted. */
const KEYSTROKE_MS = 100;

export interface CliTerminalOptions {
  readonly binary: string;
  readonly args: readonly string[];
  /** The whole environment but `TERM` and the like. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: { readonly home: string; readonly workspace: string };
  readonly baseUrl: string;
  readonly size: TerminalSize;
  readonly screens: readonly ScreenPattern[];
  /** The folder of the fixtures. */
  readonly provider: string;
}

export interface CliTerminal extends AsyncDisposable {
  /** What the screens have said so far: each change of the status. */
  readonly statuses: readonly ScreenMatch['status'][];
  /** The visible screen. */
  screen(): string;
  type(text: string): void;
  /**
   * Waits until the screen shows the text and the status is this one. With `record` and
   * RECORD_SCREENS=1 in the environment it becomes the fixture of this name.
   */
  shows(status: ScreenMatch['status'] | null, text: RegExp, record?: string): Promise<void>;
  /** Presses a key, and waits as `shows` does. */
  press(
    key: keyof typeof KEY,
    status: ScreenMatch['status'] | null,
    text: RegExp,
    record?: string,
  ): Promise<void>;
  /** Types a text, waits until the screen shows it, and presses Enter. */
  say(text: string, status: ScreenMatch['status'], shown: RegExp, record?: string): Promise<void>;
  /** Resolves with the exit code. */
  readonly exited: Promise<number>;
}

export function openCliTerminal(options: CliTerminalOptions): CliTerminal {
  const { cols, rows } = options.size;
  const terminal = new Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true });
  const child = spawn(options.binary, [...options.args], {
    ...{ cols, rows, cwd: options.home.workspace, encoding: null },
    env: {
      TERM: 'xterm-256color',
      COLORTERM: 'truecolor',
      LANG: 'C.UTF-8',
      PATH: process.env['PATH'],
      HOME: options.home.home,
      TMPDIR: options.home.home,
      ...options.env,
    },
  });
  /** Also when the test has run out of time: gemini ignores that its terminal is gone. */
  const kill = (): void => {
    if (!over) process.kill(-child.pid, 'SIGKILL');
  };
  process.once('exit', kill);
  const matcher = createScreenMatcher(options.screens);
  const statuses: ScreenMatch['status'][] = [];
  const { promise: exited, resolve: exit } = Promise.withResolvers<number>();
  let waiter: { check(): boolean; resolve(): void } | null = null;
  let over = false;

  const lines = (): string[] => {
    const { active } = terminal.buffer;
    return Array.from({ length: rows }, (_, index) => active.getLine(active.viewportY + index)).map(
      (line) => line?.translateToString(true) ?? '',
    );
  };
  const rendered = (): void => {
    const match = matcher(lines());
    if (match !== null && match.status !== statuses.at(-1)) statuses.push(match.status);
    if (waiter?.check()) waiter.resolve();
  };
  // With `encoding: null` it gives bytes, which its type does not say.
  child.onData((data: unknown) => terminal.write(data as Uint8Array, rendered));
  terminal.onData((answer) => child.write(answer));
  child.onExit(({ exitCode }) => {
    over = true;
    terminal.write('', () => {
      rendered();
      exit(exitCode);
    });
  });

  const screen = (): string => lines().join('\n').trimEnd();
  const until = async (what: string, check: () => boolean, withinMs = WITHIN_MS): Promise<void> => {
    if (check()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      reject(new Error(`not within ${withinMs} ms: ${what}; ${statuses.join(' ')}\n${screen()}`));
    }, withinMs);
    waiter = { check, resolve };
    await promise.finally(() => {
      clearTimeout(timer);
      waiter = null;
    });
  };
  /** The screen without the ends of its lines, as a text that is typed may be spread over some. */
  const joined = (): string =>
    lines()
      .join('')
      .replace(/[\s│]+/g, '');

  const showing = (status: ScreenMatch['status'] | null, text: RegExp) => () =>
    text.test(screen().replace(/\s+/g, ' ')) && (statuses.at(-1) ?? null) === status;
  const recorded = async (state: string | undefined): Promise<void> => {
    if (state === undefined || process.env['RECORD_SCREENS'] !== '1') return;
    await delay(KEYSTROKE_MS); // the rest of what it draws
    await recordScreen(options, state, screen());
  };

  const press: CliTerminal['press'] = async (key, status, text, record) => {
    const [what, check] = [`${status} with ${text}`, showing(status, text)];
    await delay(KEYSTROKE_MS);
    // A CLI that has just drawn a screen may not read yet, and drops what is typed. One that starts
    // itself again leaves the screen of its first process until the second one draws.
    for (const deadline = Date.now() + WITHIN_MS; !check() && Date.now() < deadline; ) {
      child.write(KEY[key]);
      await until(what, check, RESEND_MS).catch(() => {});
    }
    await until(what, check);
    await recorded(record);
  };

  return {
    statuses,
    screen,
    exited,
    type: (text) => child.write(text),
    async say(text, status, shown, record) {
      const end = text.slice(-20).replace(/\s+/g, '');
      child.write(text);
      await until(`the typed text ${text}`, () => joined().includes(end));
      await press('enter', status, shown, record);
    },
    async shows(status, text, record) {
      await until(`${status} with ${text}`, showing(status, text));
      await recorded(record);
    },
    press,
    async [Symbol.asyncDispose]() {
      kill();
      await exited;
      process.off('exit', kill);
      terminal.dispose();
    },
  };
}

async function recordScreen(
  { home, baseUrl, provider, size }: CliTerminalOptions,
  state: string,
  screen: string,
): Promise<void> {
  const scrub = createScrubber({ ...home, baseUrl });
  const text = scrub
    .text(screen)
    .replaceAll(home.home.split('/').at(-1) ?? '', 'user')
    .replace(/\bv\d+\.\d+\.\d+\b/g, 'v0.0.0')
    .replace(/\b\d{1,2}:\d\d\b(?: [AP]M)?/g, (time) => (time.endsWith('M') ? '8:00 AM' : '08:00'));
  scrub.assertClean(text);
  const folder = new URL(`../fixtures/screens/${provider}/`, import.meta.url);
  await mkdir(folder, { recursive: true });
  await writeFile(new URL(`${state}-${size.cols}x${size.rows}.txt`, folder), `${text}\n`);
}
