import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, messageOf } from '../../errors.ts';
import { executablesOnPath, type RedisServerBinary } from './find-server.ts';
import { type ServerPaths, writePrivate } from './server-files.ts';
import { REDIS_USER } from './users.ts';

export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A server process that runs and has answered. */
export interface ServerProcess {
  readonly pid: number;
  /** Resolves when it has exited. Never rejects. */
  readonly exited: Promise<ServerExit>;
  /** Sends SIGTERM, then SIGKILL after `graceMs`; resolves when it has exited. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

export interface LaunchOptions {
  readonly binary: RedisServerBinary;
  readonly paths: ServerPaths;
  readonly port: number;
  readonly password: string;
  readonly readyTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Called when the server has loaded its data and answers. It is ready when this resolves. */
  onLoaded(): Promise<void>;
}

const POLL_MS = 5;
const PING_TIMEOUT_MS = 2000;
const ABORTED_GRACE_MS = 2000;
const MAX_LOG_BYTES = 1024 * 1024;
const LOG_TAIL_LINES = 15;
/** Redis and Valkey write it when they have bound the port and loaded their data. */
const READY_LINE = 'Ready to accept connections';
const SYSTEM_PATH = '/usr/bin:/bin:/usr/local/bin';

/**
 * Starts the server on its configured port and waits until it answers with its password.
 *
 * @throws AppError `redis.unavailable` with the last lines of its log when it exits, or is not
 * ready within `readyTimeoutMs`; it does not run then
 */
export async function launchServer(options: LaunchOptions): Promise<ServerProcess> {
  const { paths } = options;
  await rotateLog(paths.log);
  const logStart = await sizeOf(paths.log);
  const server = await spawnServer(options.binary, paths);
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

async function spawnServer(binary: RedisServerBinary, paths: ServerPaths): Promise<ServerProcess> {
  const log = await open(paths.log, 'a', 0o600);
  try {
    // With setpriv the kernel stops the server when the thread that started it dies, even by
    // SIGKILL. setpriv execs, so the child's pid is the server's.
    const [setpriv] = process.platform === 'linux' ? executablesOnPath('setpriv', SYSTEM_PATH) : [];
    const guard = setpriv ? [setpriv, '--pdeathsig', 'TERM', '--'] : [];
    const [command = binary.path, ...args] = [...guard, binary.path, paths.config];
    const child = spawn(command, args, {
      cwd: paths.data,
      // Not our environment: it may hold secrets, and Redis does not start with an unknown locale.
      env: { LC_ALL: 'C', ...(binary.libraryPath === null ? {} : { LD_LIBRARY_PATH: binary.libraryPath }) },
      // A process group of its own: Ctrl-C reaches only us, and we stop Redis after its clients.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    // Before anything is awaited: a server that ends at once would not be seen to end.
    const exited = new Promise<ServerExit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return serverProcess(child, exited);
  } catch (error) {
    throw new AppError('redis.unavailable', `${binary.path} cannot be started: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    await log.close();
  }
}

function serverProcess(child: ChildProcess, exited: Promise<ServerExit>): ServerProcess {
  if (child.pid === undefined) throw new AppError('internal.error', 'a spawned process has no pid');
  return {
    pid: child.pid,
    exited,
    async stop(graceMs) {
      child.kill('SIGTERM');
      // A process that was suspended (SIGSTOP) must run to receive it.
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
    // Check the log first: until the server holds the port, another program might get the password.
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

/**
 * Sends AUTH and PING over a connection of its own.
 *
 * @returns `pong`, or `loading` while the server loads its data
 * @throws Error when it refuses, answers something else or does not answer within `timeoutMs`
 */
export function pingServer(port: number, password: string, timeoutMs: number): Promise<'pong' | 'loading'> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    let received = '';
    socket.setEncoding('latin1');
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('Redis does not answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('Redis closed the connection')));
    socket.on('connect', () => socket.write(`AUTH ${REDIS_USER} ${password}\r\nPING\r\n`));
    socket.on('data', (chunk: string) => {
      received += chunk;
      const answers = received.split('\r\n').slice(0, -1);
      const refusal = answers.find((line) => line.startsWith('-'));
      if (refusal?.startsWith('-LOADING')) resolve('loading');
      else if (refusal !== undefined) reject(new Error(`Redis answered ${refusal.slice(1)}`));
      else if (answers.length < 2) return;
      else if (answers[1] === '+PONG') resolve('pong');
      else reject(new Error('Redis did not answer PING with PONG'));
      socket.end();
    });
  });
}

/**
 * Below the ports the kernel gives to outgoing connections (from 32768 on Linux, 49152 on macOS). A
 * client that reconnects to a port of that range while its server is down may get this very port as
 * its own; it is then connected to itself and keeps the port.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;
const MAX_FREE_PORT_TRIES = 100;

/** Returns a loopback port on which nothing listens now: the preferred one if it is free. */
export async function freeLoopbackPort(preferred: number | null = null): Promise<number> {
  if (preferred !== null && (await isFree(preferred))) return preferred;
  for (let tries = 0; tries < MAX_FREE_PORT_TRIES; tries += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${FIRST_PORT} and ${LAST_PORT} on 127.0.0.1`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
