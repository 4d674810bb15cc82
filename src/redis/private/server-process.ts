import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, messageOf } from '../../errors.ts';
import { executablesOnPath } from './find-server.ts';
import { pingServer } from './ping.ts';
import type { RedisServerBinary } from './server-binary.ts';
import { type ServerPaths, writePrivate } from './server-files.ts';

export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One running server process that has answered. */
export interface ServerProcess {
  readonly pid: number;
  /** Resolves when it has ended, for whatever reason. Never rejects. */
  readonly exited: Promise<ServerExit>;
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when it has ended. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

export interface LaunchOptions {
  readonly binary: RedisServerBinary;
  readonly paths: ServerPaths;
  readonly port: number;
  readonly password: string;
  readonly readyTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Called when the server has read its data and answers; it is ready when this resolves. */
  onLoaded(): Promise<void>;
}

const POLL_MS = 5;
const PING_TIMEOUT_MS = 2000;
const ABORTED_GRACE_MS = 2000;
const MAX_LOG_BYTES = 1024 * 1024;
const LOG_TAIL_LINES = 15;
/** Both Redis and Valkey write it after they bound the port and read their data. */
const READY_LINE = 'Ready to accept connections';
const SYSTEM_PATH = '/usr/bin:/bin:/usr/local/bin';

/**
 * Starts the server on its configured port and waits until it answers its password's owner.
 *
 * @throws AppError `redis.unavailable` with the last lines of its log when it ends, or is not ready within
 * `readyTimeoutMs`; nothing runs then
 */
export async function launchServer(options: LaunchOptions): Promise<ServerProcess> {
  const { paths } = options;
  await rotateLog(paths.log);
  const logStart = await sizeOf(paths.log);
  const child = await spawnServer(options.binary, paths);
  const server = supervise(child);
  try {
    await writePrivate(paths.pid, `${server.pid}\n`);
    await untilReady(server, options, () => readFrom(paths.log, logStart));
    await options.onLoaded();
    return server;
  } catch (error) {
    await server.stop(ABORTED_GRACE_MS);
    options.signal.throwIfAborted();
    const tail = (await readFrom(paths.log, logStart))
      .trimEnd()
      .split('\n')
      .slice(-LOG_TAIL_LINES)
      .join('\n');
    throw new AppError(
      'redis.unavailable',
      `The private Redis did not start: ${messageOf(error)}. Its log (${paths.log}) ends with:\n${tail}`,
      { cause: error },
    );
  }
}

async function spawnServer(binary: RedisServerBinary, paths: ServerPaths): Promise<ChildProcess> {
  const log = await open(paths.log, 'a', 0o600);
  try {
    // setpriv makes the kernel end the server when the thread that started it dies, even by SIGKILL; it
    // execs, so the child's pid is the server's.
    const [setpriv] = process.platform === 'linux' ? executablesOnPath('setpriv', SYSTEM_PATH) : [];
    const guard = setpriv ? [setpriv, '--pdeathsig', 'TERM', '--'] : [];
    const [command = binary.path, ...args] = [...guard, binary.path, paths.config];
    const child = spawn(command, args, {
      cwd: paths.data,
      // Not our environment: it may hold secrets, and a strange locale stops Redis.
      env: { LC_ALL: 'C', ...(binary.libraryPath === null ? {} : { LD_LIBRARY_PATH: binary.libraryPath }) },
      // Its own process group: Ctrl-C reaches us alone, and we stop it after what needs it.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return child;
  } catch (error) {
    throw new AppError('redis.unavailable', `${binary.path} cannot be started: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await log.close();
  }
}

function supervise(child: ChildProcess): ServerProcess {
  if (child.pid === undefined) throw new AppError('internal.error', 'a spawned process has no pid');
  const exited = new Promise<ServerExit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  return {
    pid: child.pid,
    exited,
    async stop(graceMs) {
      child.kill('SIGTERM');
      // One that was stopped (SIGSTOP) must run to see it.
      child.kill('SIGCONT');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

async function untilReady(server: ServerProcess, options: LaunchOptions, readLog: () => Promise<string>) {
  const { port, password, readyTimeoutMs, signal } = options;
  let ended: ServerExit | undefined;
  void server.exited.then((exit) => {
    ended = exit;
  });
  const deadline = performance.now() + readyTimeoutMs;
  let bound = false;
  for (;;) {
    signal.throwIfAborted();
    if (ended) throw new Error(`it ended with ${ended.signal ?? `code ${ended.code}`}`);
    if (performance.now() > deadline) throw new Error(`it was not ready within ${readyTimeoutMs} ms`);
    // The log comes first: until the server holds the port, the password might go to someone else.
    bound ||= (await readLog()).includes(READY_LINE);
    if (bound && (await pingServer(port, password, PING_TIMEOUT_MS)) === 'pong') return;
    await delay(POLL_MS);
  }
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.size ?? 0;
}

async function readFrom(file: string, start: number): Promise<string> {
  return (await readFile(file)).subarray(start).toString('utf8');
}

async function rotateLog(file: string): Promise<void> {
  if ((await sizeOf(file)) > MAX_LOG_BYTES) await rename(file, `${file}.1`);
}
