/** The process: connects it to the command line. Only the commands that run a server load one. */
import { openSync, readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { ReadStream } from 'node:tty';
import { openBrowser } from './cli/browser.ts';
import { runCommandLine } from './cli/command-line.ts';
import { createServerFinder } from './cli/find-server.ts';
import { createInterrupts, watchReaders } from './cli/interrupts.ts';
import { logTo } from './cli/log-lines.ts';
import { createLogins } from './cli/logins.ts';
import { createPersonTerminal } from './cli/person-terminal.ts';
import { plainDataFolder } from './config/places.ts';
import { isAlive, readServerNote } from './store/server-note.ts';

/** The nearest package.json above this module: one folder up in source, two once built. */
const { version }: { version: string } = JSON.parse(
  readFileSync(findPackageJSON(import.meta.url) ?? '', 'utf8'),
);

/** Runs one command, prints its errors and resolves with its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const cwd = process.cwd();
  const interrupts = createInterrupts(process);
  const readers = watchReaders(process, interrupts);
  const code = await runCommandLine(args, {
    env: process.env,
    cwd,
    version,
    stdin: process.stdin,
    openTerminal,
    openScreen: () =>
      process.stdin.isTTY && process.stdout.isTTY
        ? createPersonTerminal(process.stdin, process.stdout)
        : null,
    openBrowser,
    stdout: process.stdout,
    stderr: process.stderr,
    interrupts,
    finder: (env) =>
      createServerFinder({
        env,
        async readHome() {
          return plainDataFolder(env, cwd) ?? (await (await import('./serve.ts')).loadSettings(env)).home;
        },
        readNote: readServerNote,
        isAlive,
        readLogin: (url) => createLogins(env).tokenFor(url),
      }),
    async serve(env, background) {
      readers.ignoreLoss();
      const { serve } = await import('./serve.ts');
      return serve({ env, version, logStream: logTo(process.stdout, env), background });
    },
    async serveExecutor(env) {
      readers.ignoreLoss();
      const { serveExecutor } = await import('./serve-executor.ts');
      return serveExecutor({ env, version, logStream: logTo(process.stdout, env) });
    },
    background(env) {
      const background = async () => {
        const { createBackground } = await import('./background.ts');
        const program = [process.execPath, ...process.execArgv, process.argv[1] ?? ''];
        const loadSettings = async () => (await import('./serve.ts')).loadSettings(env);
        return createBackground({ env, cwd, program, loadSettings });
      };
      return {
        start: async () => (await background()).start(),
        find: async () => (await background()).find(),
      };
    },
    async startServer({ cwd: folder, jobIn, env }) {
      const { startTemporaryServer } = await import('./serve.ts');
      const logStream = logTo(process.stderr, env);
      return startTemporaryServer({ cwd: folder, jobIn, env, version, logStream });
    },
    async allowFolder(home, folder) {
      const { rememberFolder } = await import('./store/run-folders.ts');
      rememberFolder(home, folder);
    },
  });
  return readers.exitCode(code);
}

/** The terminal of this process: stdin, or the one behind a stdin that is a pipe or a file. */
function openTerminal(): ReadStream | null {
  if (process.stdin.isTTY) return process.stdin;
  try {
    // Does not keep the process alive: it is read only while a command waits for a line.
    return new ReadStream(openSync('/dev/tty', 'r')).unref();
  } catch {
    return null; // there is no terminal
  }
}
