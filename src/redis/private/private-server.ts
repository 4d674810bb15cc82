import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import type { Logger } from 'pino';
import { AppError, messageOf } from '../../errors.ts';
import { createOutage, supervise } from '../../outage.ts';
import { setDefaultUser } from './default-user.ts';
import { lockFolder, type ReleaseFolder } from './folder-lock.ts';
import { freeLoopbackPort } from './free-port.ts';
import { stopLeftover } from './leftover.ts';
import { probeServerBinary, type RedisServerBinary } from './server-binary.ts';
import {
  defaultUserRules,
  type FsyncPolicy,
  loadPassword,
  prepareFolders,
  REDIS_USER,
  readOrNull,
  renderAcl,
  renderConfig,
  type ServerPaths,
  serverPaths,
  writePrivate,
} from './server-files.ts';
import { launchServer, type ServerProcess } from './server-process.ts';
import { WORKER_USER, workerRules } from './worker-user.ts';

/** Bullpen's own Redis, restarted when it crashes. */
export interface PrivateRedis {
  /** `redis://bullpen:PASSWORD@127.0.0.1:PORT`. A secret: never log it. */
  readonly url: string;
  /** The same server by its socket, which costs less than TCP: `unix://bullpen:PASSWORD@localhost/PATH`. A secret too. */
  readonly socketUrl: string | null;
  /** Another one after a crash during which its own was taken, where there is a socket: then no client depends on the port. */
  /** The same for the sandboxed workers, who may do little ({@link workerRules}). */
  readonly workerUrl: string;
  readonly port: number;
  /** The process that runs now, or ran last. */
  readonly pid: number;
  /** Why it does not run now, or null. */
  problem(): string | null;
  /** Ends the server and gives the folder back; resolves when nothing runs. Idempotent. */
  stop(): Promise<void>;
}

export interface PrivateRedisOptions {
  /** Its folder: settings, users, password, data. Made if missing, 0700. */
  readonly dir: string;
  readonly binary: RedisServerBinary;
  /** Another one, when that cannot be executed any more at a restart. */
  readonly findBinary?: () => Promise<RedisServerBinary>;
  /** The two channels on which a client without a password may publish and listen. */
  readonly requestChannel: string;
  readonly responseChannel: string;
  /** Of every key. Default `bullpen`. */
  readonly prefix?: string;
  readonly logger?: Logger;
  /** Taken when free, before the port of the last run. */
  readonly preferredPort?: number;
  /** Default `always`: what was acknowledged is on disk. */
  readonly fsync?: FsyncPolicy;
  /** 0: a server that ends stays down. Default: it is started again, for ever. */
  readonly restartLimit?: 0;
  /** How long the server may take to read its data. Default one minute. */
  readonly readyTimeoutMs?: number;
  /** Gives up a start. A server that runs is ended by `stop()`. */
  readonly signal?: AbortSignal;
}

type Launch = (port: number, signal: AbortSignal) => Promise<ServerProcess>;

const STOP_GRACE_MS = 10_000;
const MAX_PORT_TRIES = 5;

/**
 * Starts a Redis that belongs to this process alone: loopback only, append-only file, no eviction. It ends
 * with this process (on Linux also when that is killed; elsewhere the next start ends it), and a leftover in
 * the folder is ended first.
 *
 * @throws AppError `config.locked` when a living process runs its Redis in `dir`; `redis.unavailable` when
 * the server does not start, with the end of its log
 */
export async function startPrivateRedis(options: PrivateRedisOptions): Promise<PrivateRedis> {
  const paths = serverPaths(options.dir);
  await prepareFolders(options.dir);
  const release = lockFolder(paths.lock);
  try {
    const leftover = await stopLeftover(paths, STOP_GRACE_MS);
    if (leftover !== null) {
      options.logger?.warn({ pid: leftover }, 'ended the Redis an earlier run left behind');
    }
    const password = await loadPassword(paths.password);
    const worker = {
      name: WORKER_USER,
      password: randomBytes(32).toString('hex'), // of one run: its workers are ours
      rules: workerRules({ ...options, prefix: options.prefix ?? 'bullpen' }),
    };
    const acl = renderAcl(password, worker);
    const launch = createLaunch(options, paths, { password, acl, rules: defaultUserRules(options) });
    const { port, server } = await launchOnFreePort(options, paths, launch);
    options.logger?.info({ port, pid: server.pid }, 'private Redis started');
    return runningRedis(options, { paths, password, worker, port, server, launch, release });
  } catch (error) {
    release();
    throw error;
  }
}

function createLaunch(
  options: PrivateRedisOptions,
  paths: ServerPaths,
  { password, acl, rules }: { password: string; acl: string; rules: readonly string[] },
): Launch {
  const { fsync = 'always', readyTimeoutMs = 60_000 } = options;
  let { binary } = options;
  let again = false;
  return async (port, signal) => {
    if (again) {
      // What was there at the first start may be gone: the program after an upgrade, the folder by hand.
      await prepareFolders(options.dir);
      const { findBinary } = options;
      const usable = findBinary === undefined || (await probeServerBinary(binary.path, binary.libraryPath));
      if (!usable) binary = await findBinary();
    }
    again = true;
    await writePrivate(paths.password, `${password}\n`);
    await writePrivate(paths.acl, acl);
    await writePrivate(paths.config, renderConfig({ paths, port, fsync }));
    const onLoaded = () => setDefaultUser(port, password, rules);
    return launchServer({ binary, paths, port, password, readyTimeoutMs, signal, onLoaded });
  };
}

async function launchOnFreePort(options: PrivateRedisOptions, paths: ServerPaths, launch: Launch) {
  const signal = options.signal ?? new AbortController().signal;
  const wanted = [options.preferredPort, Number(await readOrNull(paths.port))].filter(isPort);
  for (let tries = 1; ; tries += 1) {
    const port = await freeLoopbackPort(wanted);
    try {
      const server = await launch(port, signal);
      await writePrivate(paths.port, `${port}\n`);
      return { port, server };
    } catch (error) {
      // Someone took the port between our look and the server's bind.
      if (tries >= MAX_PORT_TRIES || !isPortTaken(error)) throw error;
    }
  }
}

interface Running {
  readonly paths: ServerPaths;
  readonly password: string;
  readonly worker: { readonly name: string; readonly password: string };
  readonly port: number;
  readonly server: ServerProcess;
  readonly launch: Launch;
  readonly release: ReleaseFolder;
}

function runningRedis(options: PrivateRedisOptions, running: Running): PrivateRedis {
  const { paths, password, worker, launch, release } = running;
  const { logger } = options;
  const stopping = new AbortController();
  const outage = createOutage('private Redis', logger);
  let { server, port } = running;
  const tcp = (user: string): string => `redis://${user}@127.0.0.1:${port}`;
  const socket = (user: string): string | null =>
    paths.socket && `unix://${user}@localhost${pathToFileURL(paths.socket).pathname}`;
  const owner = `${REDIS_USER}:${password}`;
  const workers = `${worker.name}:${worker.password}`;

  async function restart(signal: AbortSignal): Promise<ServerProcess> {
    try {
      return await launch(port, signal);
    } catch (error) {
      if (paths.socket === null || !isPortTaken(error)) throw inOneLine(error);
      const moved = await freeLoopbackPort();
      const next = await launch(moved, signal);
      await writePrivate(paths.port, `${moved}\n`);
      port = moved;
      logger?.warn({ port }, 'the port of the private Redis was taken: it has another one');
      return next;
    }
  }

  const supervision =
    options.restartLimit === 0
      ? Promise.resolve()
      : supervise<ServerProcess>({
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
        });
  const stop = async () => {
    stopping.abort(new AppError('server.stopping', 'The private Redis is being stopped'));
    await supervision.then(() => server.stop(STOP_GRACE_MS));
    await rm(paths.pid, { force: true });
    release();
    logger?.info({ port }, 'private Redis stopped');
  };
  let stopped: Promise<void> | undefined;
  return {
    url: tcp(owner),
    socketUrl: socket(owner),
    workerUrl: socket(workers) ?? tcp(workers),
    get port() {
      return port;
    },
    get pid() {
      return server.pid;
    },
    problem: outage.problem,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

const isPortTaken = (error: unknown): boolean => messageOf(error).includes('Address already in use');

/** What was wrong, and the last thing the server said of it. */
function inOneLine(error: unknown): Error {
  const [first = '', ...rest] = messageOf(error).trimEnd().split('\n');
  const last = rest.at(-1);
  return new Error(last === undefined ? first : `${first} ${last}`, { cause: error });
}

function isPort(value: number | undefined): value is number {
  return value !== undefined && Number.isInteger(value) && value > 0 && value < 65_536;
}
