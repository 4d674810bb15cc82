/** The process: one command. A server is loaded only by the commands that run one. */
import { readFileSync, statSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import type { Logger } from 'pino';
import type { App } from './app.ts';
import type { OwnServer } from './cli/command.ts';
import { runCommandLine } from './cli/command-line.ts';
import { EXIT } from './cli/exit-codes.ts';
import { createServerFinder } from './cli/find-server.ts';
import { createInterrupts, type Interrupts } from './cli/interrupts.ts';
import { logTo } from './cli/log-lines.ts';
import { plainDataFolder } from './config/places.ts';
import type { Settings } from './config/schema.ts';
import { AppError, messageOf } from './errors.ts';
import { announceStart, readServerNote, writeServerNote } from './store/server-note.ts';

/** The nearest one above this module: one folder up in source, two once built. */
const manifest: { version: string } = JSON.parse(
  readFileSync(findPackageJSON(import.meta.url) ?? '', 'utf8'),
);

/** Exit code of a start that was interrupted, as shells have it for Ctrl-C. */
const INTERRUPTED = 130;

/** One command, its failures in words, its exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const cwd = process.cwd();
  const interrupts = createInterrupts(process);
  const pipes = survivePipes(interrupts);
  return runCommandLine(args, {
    env: process.env,
    cwd,
    version: manifest.version,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    interrupts,
    finder: (env) =>
      createServerFinder({
        env,
        readHome: async () => plainDataFolder(env, cwd) ?? (await loadSettings(env)).home,
        readNote: readServerNote,
        isAlive,
      }),
    serve(env) {
      pipes.mindNoReader();
      return serve(env);
    },
    startServer,
    allowFolder,
  });
}

/** Whoever reads may leave before the end, as `head` does. A command that has something to end is told. */
function survivePipes(interrupts: Interrupts): { mindNoReader(): void } {
  let told = false; // every further write fails too, and a second interrupt would mean more
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    if (!told && !interrupts.raise()) process.exit(EXIT.readerGone);
    told = true;
  });
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  return {
    /** From now on stdout is a log: it may be lost. */
    mindNoReader() {
      told = true;
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'; // somebody else's
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

async function loadSettings(env: Environment): Promise<Settings> {
  const config = await import('./config/load.ts');
  return config.loadSettings(env, process.cwd());
}

/** `bullpen serve`: runs the server until a signal ends it. Resolves with the exit code. */
async function serve(env: Environment): Promise<number> {
  const home = plainDataFolder(env, process.cwd()) ?? (await loadSettings(env)).home;
  const giveUp = announceStart(home, false, isAlive);
  try {
    return await serveAnnounced(env);
  } catch (error) {
    giveUp();
    throw error;
  }
}

async function serveAnnounced(env: Environment): Promise<number> {
  const settings = await loadSettings(env);
  const { createLogger } = await import('./logger.ts');
  const logger = createLogger(settings.logLevel, logTo(process.stdout, env));
  const signalled = Promise.withResolvers<NodeJS.Signals>();
  let started = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // Nothing was accepted yet, and dying at any point is survived: a start need not be waited for.
      if (!started) process.exit(INTERRUPTED);
      signalled.resolve(signal);
    });
  }

  const app = await launch(settings, env, logger);
  started = true;
  announce(settings.home, app.url, logger);
  const { url, redisPort, tokenFile, recovery } = app;
  const pages = { docs: `${url}/docs`, board: `${url}/admin/queues` };
  logger.info({ url, ...pages, redisPort, tokenFile, recovery }, 'ready');
  process.send?.({ ready: true, url: app.url, redisPort: app.redisPort });

  const signal = await signalled.promise;
  logger.info({ signal }, 'stopping; a second signal interrupts what runs');
  for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, app.hurry);
  await app.stop();
  logger.info('stopped');
  return 0;
}

interface TemporaryServer {
  readonly cwd: string;
  readonly jobIn?: string;
  readonly env: Environment;
}

/** A server for one command: on a free port of this host, its log (from warnings on) on stderr. */
async function startServer({ cwd, jobIn, env: given }: TemporaryServer): Promise<OwnServer> {
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new AppError('cwd.not_allowed', `jobs cannot run in ${cwd}: it is no folder`);
  }
  const initial = {
    BULLPEN_LOG_LEVEL: 'warn',
    BULLPEN_CWD: cwd,
    BULLPEN_DRAIN_MS: String(OWN_DRAIN_MS),
    // It comes for one prompt: nothing is started for others.
    BULLPEN_WARM_PROCESSES: '0',
    BULLPEN_WORKERS: '2',
  };
  const env: Environment = { ...initial, ...given, HOST: '127.0.0.1', PORT: '0' };
  const settings = await loadSettings(env);
  const giveUp = announceStart(settings.home, true, isAlive);
  try {
    const moreRoots = await rootsOfCommands(given, settings, cwd);
    if (jobIn !== undefined) await refuseFolder(jobIn, [...settings.roots, ...(moreRoots?.() ?? [])]);
    const { createLogger } = await import('./logger.ts');
    const logger = createLogger(settings.logLevel, logTo(process.stderr, env));
    const app = await launch(settings, env, logger, moreRoots);
    announce(settings.home, app.url, logger, true);
    return {
      url: app.url,
      token: readFileSync(app.tokenFile, 'utf8').trim(),
      async stop(hurry) {
        // Other commands must not come to a server that takes nothing any more.
        announce(settings.home, null, logger, true);
        const stopped = app.stop();
        if (hurry.aborted) app.hurry();
        else hurry.addEventListener('abort', app.hurry, { once: true });
        await stopped;
      },
    };
  } catch (error) {
    giveUp();
    throw error;
  }
}

/** Where a server of one command may run the jobs of others, too: nowhere when the settings name roots. */
async function rootsOfCommands(
  env: Environment,
  { home }: Settings,
  cwd: string,
): Promise<(() => readonly string[]) | null> {
  const { namesRoots } = await import('./config/load.ts');
  if (namesRoots(env, process.cwd())) return null;
  const { rememberFolder, runFolders } = await import('./store/run-folders.ts');
  rememberFolder(home, cwd);
  return runFolders(home);
}

async function allowFolder(home: string, folder: string): Promise<void> {
  const { rememberFolder } = await import('./store/run-folders.ts');
  rememberFolder(home, folder);
}

async function refuseFolder(folder: string, roots: readonly string[]): Promise<void> {
  const { resolveWorkspace } = await import('./workspace.ts');
  await resolveWorkspace(folder, { roots, trustedRoots: [] });
}

/** What runs may end, however long it takes: a signal cuts it short. */
const OWN_DRAIN_MS = 24 * 3_600_000;

async function launch(
  settings: Settings,
  env: Environment,
  logger: Logger,
  moreRoots: (() => readonly string[]) | null = null,
): Promise<App> {
  const { makeProcessPrivate } = await import('./own-process.ts');
  makeProcessPrivate();
  // BullMQ does not catch a message to a worker process that has just died; the job itself is redelivered.
  const onUnhandled = (error: unknown): void => {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code !== 'ERR_IPC_CHANNEL_CLOSED' && code !== 'EPIPE') throw error;
    logger.debug({ reason: messageOf(error) }, 'a worker process was gone before its message');
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    const { startApp } = await import('./app.ts');
    const { holdHeapDown } = await import('./heap.ts');
    const app = await startApp({ settings, env, version: manifest.version, logger, moreRoots });
    holdHeapDown(); // bin.js held it at its smallest while modules were loaded
    return app;
  } catch (error) {
    process.off('unhandledRejection', onUnhandled); // it may be tried again
    throw error;
  }
}

/** Says in the data folder where the server listens, for the other commands; null: nowhere any more. */
function announce(home: string, address: string | null, logger: Logger, temporary = false): void {
  try {
    const startedAt = readServerNote(home)?.startedAt ?? new Date().toISOString();
    writeServerNote(home, { pid: process.pid, startedAt, address, temporary });
  } catch (error) {
    logger.warn({ reason: messageOf(error) }, 'other commands will not find this server by its data folder');
  }
}
