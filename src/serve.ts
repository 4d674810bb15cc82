/**
 * Runs the server in this process: until a signal (`bullpen serve`), or for one command. The
 * settings, the logger and the server take a second to load, so they are imported after the start
 * was noted in the data folder.
 */
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import type { DestinationStream, Logger } from 'pino';
import type { App } from './app.ts';
import { plainDataFolder } from './config/places.ts';
import type { Program } from './config/safe-start.ts';
import type { Settings } from './config/schema.ts';
import { AppError, messageOf } from './errors.ts';
import { makeProcessPrivate } from './processes/own-process.ts';
import type { Redactor } from './redactor.ts';
import { rememberFolder, runFolders } from './store/run-folders.ts';
import {
  isAlive,
  readServerNote,
  removeServerNote,
  type StartedBy,
  writeServerNote,
} from './store/server-note.ts';
import { resolveWorkspace } from './workspace.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface ServeOptions {
  readonly env: Environment;
  readonly version: string;
  readonly logStream: DestinationStream;
}

/** Exit code of a start that was interrupted, as shells use it for Ctrl-C. */
const INTERRUPTED = 130;

/**
 * `bullpen serve`: runs the server until SIGTERM or SIGINT. Resolves with the exit code.
 * @param background `bullpen up` started it; it also runs jobs in the folders of this user's
 * commands, unless the settings name roots
 */
export async function serve(options: ServeOptions & { readonly background: boolean }): Promise<number> {
  const { env, version, logStream, background } = options;
  const home = plainDataFolder(env, process.cwd()) ?? (await loadSettings(env)).home;
  const startedBy = background ? 'up' : 'serve';
  const withdrawNote = noteStart(home, startedBy);
  try {
    const settings = await loadSettings(env);
    const { redactor, logger } = await openLog(settings, env, logStream);
    const signals = listenForSignals();
    const moreRoots = background ? await rootsOfCommands(env, home, process.cwd()) : null;
    const app = await startServer({ settings, env, version, redactor, logger, moreRoots });
    signals.started();
    noteAddress(home, app.url, startedBy, logger);
    const { url, redisPort, tokenFile, recovery } = app;
    const pages = { docs: `${url}/docs`, board: `${url}/admin/queues` };
    logger.info({ url, ...pages, redisPort, tokenFile, recovery }, 'ready');
    process.send?.({ ready: true, url, redisPort });

    const signal = await signals.first;
    logger.info({ signal }, 'stopping; a second signal interrupts the running jobs');
    for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, app.hurry);
    await app.stop();
    logger.info('stopped');
    return 0;
  } catch (error) {
    withdrawNote();
    throw error;
  }
}

/**
 * A signal before `started()` exits at once: no job is accepted yet, and a killed start leaves
 * nothing to repair.
 */
export function listenForSignals(): { started(): void; readonly first: Promise<NodeJS.Signals> } {
  const { promise: first, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let hasStarted = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (!hasStarted) process.exit(INTERRUPTED);
      resolve(signal);
    });
  }
  return {
    first,
    started() {
      hasStarted = true;
    },
  };
}

export interface TemporaryServerOptions extends ServeOptions {
  /** Where jobs run, unless the settings name roots. */
  readonly cwd: string;
  /** The folder of a job that the server must be able to run; refused before anything starts. */
  readonly jobIn?: string | undefined;
}

export interface TemporaryServer {
  readonly url: string;
  readonly token: string;
  /** @param hurry aborts: running jobs are interrupted */
  stop(hurry: AbortSignal): Promise<void>;
}

/** Running jobs may end, however long they take, unless a signal interrupts them. */
const TEMPORARY_DRAIN_MS = 24 * 3_600_000;

/**
 * Starts a server for one command, on a free port of 127.0.0.1. It logs warnings and errors only.
 */
export async function startTemporaryServer(options: TemporaryServerOptions): Promise<TemporaryServer> {
  const { cwd, jobIn, version, logStream } = options;
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new AppError('cwd.not_allowed', `jobs cannot run in ${cwd}: it is no folder`);
  }
  const env: Environment = {
    BULLPEN_LOG_LEVEL: 'warn',
    BULLPEN_CWD: cwd,
    BULLPEN_DRAIN_MS: String(TEMPORARY_DRAIN_MS),
    BULLPEN_WARM_PROCESSES: '0', // it runs for one prompt
    ...options.env,
    BULLPEN_HOST: '127.0.0.1',
    BULLPEN_PORT: '0',
  };
  const settings = await loadSettings(env);
  const { home } = settings;
  const withdrawNote = noteStart(home, 'run');
  try {
    const moreRoots = await rootsOfCommands(options.env, home, cwd);
    if (jobIn !== undefined) {
      const roots = [...settings.roots, ...(moreRoots?.() ?? [])];
      await resolveWorkspace(jobIn, { roots, trustedRoots: [] });
    }
    const { redactor, logger } = await openLog(settings, env, logStream);
    const app = await startServer({ settings, env, version, redactor, logger, moreRoots });
    noteAddress(home, app.url, 'run', logger);
    return {
      url: app.url,
      token: readFileSync(app.tokenFile, 'utf8').trim(),
      async stop(hurry) {
        noteAddress(home, null, 'run', logger); // other commands must not find a server that stops
        const stopped = app.stop();
        if (hurry.aborted) app.hurry();
        else hurry.addEventListener('abort', app.hurry, { once: true });
        await stopped;
      },
    };
  } catch (error) {
    withdrawNote();
    throw error;
  }
}

/**
 * The folders of other commands, in which the server may run their jobs; null: the settings name
 * the roots.
 */
async function rootsOfCommands(
  env: Environment,
  home: string,
  cwd: string,
): Promise<(() => readonly string[]) | null> {
  const { namesRoots } = await import('./config/load.ts');
  if (namesRoots(env, process.cwd())) return null;
  rememberFolder(home, cwd);
  return runFolders(home);
}

export async function loadSettings(env: Environment, program: Program = 'server'): Promise<Settings> {
  const config = await import('./config/load.ts');
  return config.loadSettings(env, process.cwd(), program);
}

/** The logger, and the redactor that its lines go through. It knows the secrets of the settings. */
export async function openLog(
  settings: Settings,
  env: Environment,
  logStream: DestinationStream,
): Promise<{ readonly redactor: Redactor; readonly logger: Logger }> {
  const [{ createRedactor }, { secretsOf }, { createLogger }] = await Promise.all([
    import('./redactor.ts'),
    import('./config/secrets.ts'),
    import('./logger.ts'),
  ]);
  const redactor = createRedactor(secretsOf(settings, env));
  return { redactor, logger: createLogger(settings.logLevel, logStream, redactor) };
}

interface StartOptions {
  readonly settings: Settings;
  readonly env: Environment;
  readonly version: string;
  readonly redactor: Redactor;
  readonly logger: Logger;
  readonly moreRoots: (() => readonly string[]) | null;
}

async function startServer({ logger, ...options }: StartOptions): Promise<App> {
  makeProcessPrivate();
  // BullMQ does not catch the error of a message to a worker process that has just died. The job is
  // redelivered.
  const onUnhandled = (error: unknown): void => {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code !== 'ERR_IPC_CHANNEL_CLOSED' && code !== 'EPIPE') throw error;
    logger.debug({ reason: messageOf(error) }, 'a worker process died before it got a message');
  };
  process.on('unhandledRejection', onUnhandled);
  try {
    const { startApp } = await import('./app.ts');
    return await startApp({ ...options, logger });
  } catch (error) {
    process.off('unhandledRejection', onUnhandled); // the command may start a server again
    throw error;
  }
}

/** A start is taken to be under way for this long. */
const STARTS_WITHIN_MS = 30_000;

/**
 * Notes in the data folder that a server starts, so that a command that is typed at the same time
 * waits for it. The note reserves nothing: the lock of the data folder decides which server gets
 * it.
 * @returns removes the note
 * @throws AppError config.locked for a temporary server while another server starts
 */
function noteStart(home: string, startedBy: StartedBy): () => void {
  const other = readServerNote(home);
  if (other !== null && other.pid !== process.pid && isAlive(other)) {
    const starts = other.address === null && Date.now() - Date.parse(other.startedAt) < STARTS_WITHIN_MS;
    // Otherwise another process has its pid by now, or the lock refuses the second server.
    if (startedBy !== 'run' || !starts) return () => {};
    const message = `another server (pid ${other.pid}) starts with the data folder ${home}`;
    throw new AppError('config.locked', message);
  }
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const startedAt = new Date().toISOString();
    writeServerNote(home, { startedAt, address: null, startedBy });
  } catch {
    return () => {}; // the start reports what is wrong with the folder
  }
  return () => {
    if (readServerNote(home)?.pid === process.pid) removeServerNote(home);
  };
}

/** Notes in the data folder where the server listens, for the other commands; null: it stops. */
function noteAddress(home: string, address: string | null, startedBy: StartedBy, logger: Logger): void {
  try {
    const startedAt = readServerNote(home)?.startedAt ?? new Date().toISOString();
    writeServerNote(home, { startedAt, address, startedBy });
  } catch (error) {
    logger.warn({ reason: messageOf(error) }, 'other commands will not find this server by its data folder');
  }
}
