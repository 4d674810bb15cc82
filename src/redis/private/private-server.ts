import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../../errors.ts';
import { type FileLock, tryLock } from '../../file-lock.ts';
import { createOutage, supervise } from '../../outage.ts';
import { probeServerBinary, type RedisServerBinary } from './find-server.ts';
import { stopLeftover } from './leftover.ts';
import {
  type FsyncPolicy,
  loadPassword,
  prepareFolders,
  readOrNull,
  renderConfig,
  type ServerPaths,
  serverPaths,
  writePrivate,
} from './server-files.ts';
import { freeLoopbackPort, launchServer, type ServerProcess } from './server-process.ts';
import {
  defaultUserRules,
  REDIS_USER,
  renderAcl,
  setDefaultUser,
  WORKER_USER,
  workerRules,
} from './users.ts';

/** Bullpen's own Redis, restarted when it crashes. */
export interface PrivateRedis {
  /** `redis://bullpen:PASSWORD@127.0.0.1:PORT`. A secret: never log it. */
  readonly url: string;
  /**
   * The same server by its socket, which is faster than TCP:
   * `unix://bullpen:PASSWORD@localhost/PATH`. A secret. Null when the path is too long for a
   * socket.
   */
  readonly socketUrl: string | null;
  /** For the sandboxed workers, which have few rights ({@link workerRules}). A secret. */
  readonly workerUrl: string;
  /** It changes when another program takes it during a restart. */
  readonly port: number;
  /** The process that runs now, or ran last. */
  readonly pid: number;
  /** Why it does not run now, or null. */
  problem(): string | null;
  /** Stops the server and releases the folder; resolves when nothing runs. Idempotent. */
  stop(): Promise<void>;
}

export interface PrivateRedisOptions {
  /** Folder of its settings, users, password and data. Created with mode 0700. */
  readonly dir: string;
  readonly binary: RedisServerBinary;
  /** Finds another binary when the first one does not start any longer. */
  readonly findBinary?: () => Promise<RedisServerBinary>;
  /** The two channels on which a client without a password may publish and subscribe. */
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** Prefix of every key. */
  readonly prefix?: string;
  readonly logger?: Logger;
  /** Default `always`: an acknowledged write is on disk. */
  readonly fsync?: FsyncPolicy;
  /** 0: a server that exits is not restarted. */
  readonly restartLimit?: 0;
}

const STOP_GRACE_MS = 10_000;
const READY_TIMEOUT_MS = 60_000;
const MAX_PORT_TRIES = 5;

/**
 * Starts a Redis for this process alone: loopback only, append-only file, no eviction. On Linux it
 * stops when this process dies, even by SIGKILL. Elsewhere the next start stops it.
 *
 * @throws AppError `config.locked` when a living process runs its Redis in `dir`;
 * `redis.unavailable` with the end of its log when the server does not start
 */
export async function startPrivateRedis(options: PrivateRedisOptions): Promise<PrivateRedis> {
  const { dir, binary, findBinary, requestChannel, responseChannel, logger } = options;
  const { prefix = 'bullpen', fsync = 'always', restartLimit } = options;
  const channels = { requestChannel, responseChannel };
  const paths = serverPaths(dir);
  await prepareFolders(dir);
  const lock = tryLock(paths.lock);
  if (lock === null) {
    const message = `Another Bullpen runs its Redis in this folder (${paths.lock} is locked)`;
    throw new AppError('config.locked', message);
  }
  try {
    const leftover = await stopLeftover(paths, STOP_GRACE_MS);
    if (leftover !== null) logger?.warn({ pid: leftover }, 'stopped the Redis of an earlier run');
    const password = await loadPassword(paths.password);
    const workerPassword = randomBytes(32).toString('hex'); // for this run only
    const rules = workerRules({ prefix, ...channels });
    const acl = renderAcl(password, { password: workerPassword, rules });
    const defaultRules = defaultUserRules(channels);
    const stopping = new AbortController();
    const launch = createLaunch({ dir, paths, binary, findBinary, password, acl, defaultRules, fsync });
    const { port, server } = await launchOnFreePort(paths, (free) => launch(free, stopping.signal));
    logger?.info({ port, pid: server.pid }, 'private Redis started');
    const restarts = restartLimit !== 0;
    return runningRedis({
      paths,
      password,
      workerPassword,
      port,
      server,
      launch,
      lock,
      stopping,
      restarts,
      logger,
    });
  } catch (error) {
    lock.release();
    throw error;
  }
}

type Launch = (port: number, signal: AbortSignal) => Promise<ServerProcess>;

/** Returns a function that writes the server's files and launches it. */
function createLaunch({
  dir,
  paths,
  binary: firstBinary,
  findBinary,
  password,
  acl,
  defaultRules,
  fsync,
}: {
  readonly dir: string;
  readonly paths: ServerPaths;
  readonly binary: RedisServerBinary;
  readonly findBinary: (() => Promise<RedisServerBinary>) | undefined;
  readonly password: string;
  readonly acl: string;
  readonly defaultRules: readonly string[];
  readonly fsync: FsyncPolicy;
}): Launch {
  let binary = firstBinary;
  let again = false;
  return async (port, signal) => {
    if (again) {
      // Since the first start an upgrade may have removed the program, or a person the folder.
      await prepareFolders(dir);
      const usable = findBinary === undefined || (await probeServerBinary(binary.path, binary.libraryPath));
      if (!usable) binary = await findBinary();
    }
    again = true;
    await writePrivate(paths.password, `${password}\n`);
    await writePrivate(paths.acl, acl);
    await writePrivate(paths.config, renderConfig({ paths, port, fsync }));
    const onLoaded = () => setDefaultUser(port, password, defaultRules);
    return launchServer({
      binary,
      paths,
      port,
      password,
      readyTimeoutMs: READY_TIMEOUT_MS,
      signal,
      onLoaded,
    });
  };
}

async function launchOnFreePort(paths: ServerPaths, launch: (port: number) => Promise<ServerProcess>) {
  const lastPort = Number(await readOrNull(paths.port));
  for (let tries = 1; ; tries += 1) {
    const port = await freeLoopbackPort(isPort(lastPort) ? lastPort : null);
    try {
      const server = await launch(port);
      await writePrivate(paths.port, `${port}\n`);
      return { port, server };
    } catch (error) {
      // Another program took the port after we had found it free.
      if (tries >= MAX_PORT_TRIES || !isPortTaken(error)) throw error;
    }
  }
}

function runningRedis({
  paths,
  password,
  workerPassword,
  launch,
  lock,
  stopping,
  restarts,
  logger,
  ...first
}: {
  readonly paths: ServerPaths;
  readonly password: string;
  readonly workerPassword: string;
  readonly port: number;
  readonly server: ServerProcess;
  readonly launch: Launch;
  readonly lock: FileLock;
  readonly stopping: AbortController;
  readonly restarts: boolean;
  readonly logger: Logger | undefined;
}): PrivateRedis {
  let { server, port } = first;
  const outage = createOutage('private Redis', logger);
  const tcpUrl = (user: string): string => `redis://${user}@127.0.0.1:${port}`;
  const socketUrl = (user: string): string | null =>
    paths.socket && `unix://${user}@localhost${pathToFileURL(paths.socket).pathname}`;
  const owner = `${REDIS_USER}:${password}`;
  const worker = `${WORKER_USER}:${workerPassword}`;

  /**
   * Restarts on the same port, or on another one when that is taken and clients have the socket.
   */
  async function restart(signal: AbortSignal): Promise<ServerProcess> {
    try {
      return await launch(port, signal);
    } catch (error) {
      if (paths.socket === null || !isPortTaken(error)) throw inOneLine(error);
      const newPort = await freeLoopbackPort();
      const next = await launch(newPort, signal);
      await writePrivate(paths.port, `${newPort}\n`);
      port = newPort;
      logger?.warn({ port }, 'the port of the private Redis was taken: it has another one');
      return next;
    }
  }

  const supervision = restarts
    ? supervise<ServerProcess>({
        first: server,
        async ended({ exited }) {
          const { code, signal } = await exited;
          return `it ended with ${signal ?? `code ${code}`}`;
        },
        start: restart,
        onStarted(next) {
          server = next;
        },
        outage,
        signal: stopping.signal,
      })
    : Promise.resolve();

  async function stop(): Promise<void> {
    stopping.abort(new AppError('server.stopping', 'The private Redis is being stopped'));
    await supervision;
    await server.stop(STOP_GRACE_MS);
    await rm(paths.pid, { force: true });
    lock.release();
    logger?.info({ port }, 'private Redis stopped');
  }
  let stopped: Promise<void> | undefined;

  return {
    url: tcpUrl(owner),
    socketUrl: socketUrl(owner),
    workerUrl: socketUrl(worker) ?? tcpUrl(worker),
    get port() {
      return port;
    },
    get pid() {
      return server.pid;
    },
    problem: outage.problem,
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

const isPortTaken = (error: unknown): boolean => messageOf(error).includes('Address already in use');

const isPort = (value: number): boolean => Number.isInteger(value) && value > 0 && value < 65_536;

/** Joins the first line of the error with the last line of the server's log. */
function inOneLine(error: unknown): Error {
  const [first = '', ...rest] = messageOf(error).trimEnd().split('\n');
  const last = rest.at(-1);
  return new Error(last === undefined ? first : `${first} ${last}`, { cause: error });
}
