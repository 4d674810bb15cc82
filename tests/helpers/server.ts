/** A real server in a process of its own, as a user runs it: `node src/bin.js serve`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Job } from '../../src/protocol/job.ts';
import { isAlive } from './proc.ts';
import { PROGRAM } from './program.ts';
import { CACHE_DIR } from './redis-private.ts';
import { sharedFromStart, whenOver } from './shared.ts';
import { makeTempDir, removeDir } from './temp.ts';

const NODE_BIN = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url));
const START_WITHIN_MS = 60_000;
const MOUNT = 'mount -t tmpfs -o size="$1",mode=700 tmpfs "$2" && shift 2 && exec "$@"';

/** Whether this machine lets us mount a small disk in a namespace of our own. */
export function mayMount(): boolean {
  try {
    execFileSync('unshare', ['-Urm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** A command whose `folder` is a disk of its own, as `/proc/PID/root` shows it. */
export const onDisk = (size: string, folder: string, command: readonly string[]): readonly string[] => [
  ...['unshare', '-Urm', 'sh', '-c', MOUNT, 'sh', size, folder],
  ...command,
];

export interface TestServerOptions {
  /** More variables, over the harness's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Content of bullpen.config.yaml. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its bin.js; default: {@link PROGRAM}. */
  readonly program?: string;
  /** An open file for its stdout and stderr, in place of `log()`. */
  readonly output?: number;
  /** An open file that it inherits, as descriptor 50. */
  readonly inherited?: number;
  /** Its data folder is a disk of its own of this size (`24m`); needs `mayMount()`. */
  readonly disk?: string;
  /** Folder to live in (home, workspace, data); the caller deletes it. Default: a new one. */
  readonly dir?: string;
}

export interface TestServer {
  readonly url: string;
  readonly token: string;
  /** Port of its private Redis; null with REDIS_URL. */
  readonly redisPort: number | null;
  readonly pid: number;
  readonly dir: string;
  readonly home: string;
  readonly workspace: string;
  /** Everything it has logged so far. */
  log(): string;
  /** Closes the pipe of its log, as `| head` does. */
  leaveLog(): void;
  /** An authorised request; `body` is sent as JSON. */
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Creates a job and returns it after its end, or after `waitSeconds` (0: at once). */
  run(request: Record<string, unknown> & { prompt: string }, waitSeconds?: number): Promise<Job>;
  /** The job once it is finished; throws after `timeoutMs`. */
  finished(id: string, timeoutMs?: number): Promise<Job>;
  job(id: string): Promise<Job>;
  /** Sends a signal and waits for the process to be gone. */
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** SIGTERM, and its exit. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a server and waits until it is ready. It is stopped and its folder removed after the test,
 * or after the file if it is shared.
 */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const own = options.dir === undefined;
  const dir = options.dir ?? makeTempDir();
  const server = await launchServer({ ...options, dir });
  whenOver(async () => {
    await server.stop();
    if (own) removeDir(dir);
  });
  return server;
}

/** A server for every test of the block that calls this, so a name they look for is their own. */
export const sharedServer = (options: () => TestServerOptions = () => ({})): (() => TestServer) =>
  sharedFromStart(() => startServer(options()));

const inherited = (file: number | undefined): readonly ('ignore' | number)[] =>
  file === undefined ? [] : [...Array.from({ length: 46 }, () => 'ignore' as const), file];

/** Starts a server in `dir` and waits until it is ready; the caller stops it. */
export async function launchServer(
  options: TestServerOptions & { readonly dir: string },
): Promise<TestServer> {
  const { dir, output = 'pipe' } = options;
  const data = join(dir, 'data');
  const workspace = join(dir, 'workspace');
  for (const folder of [workspace, join(dir, 'home'), ...(options.disk === undefined ? [] : [data])])
    mkdirSync(folder, { recursive: true });
  const configFile = join(dir, 'bullpen.config.yaml');
  writeFileSync(configFile, stringify(options.config ?? {}));
  const logFile = join(dir, 'server.log');
  const chunks: string[] = [];

  const program = [process.execPath, '--no-warnings', options.program ?? PROGRAM, 'serve'];
  const [command = '', ...args] = options.disk === undefined ? program : onDisk(options.disk, data, program);
  const child = spawn(command, args, {
    cwd: workspace,
    stdio: ['ignore', output, output, 'ipc', ...inherited(options.inherited)],
    env: {
      PATH: `${NODE_BIN}:${process.env['PATH'] ?? ''}`,
      HOME: join(dir, 'home'),
      BULLPEN_HOME: data,
      BULLPEN_CACHE: CACHE_DIR,
      BULLPEN_CONFIG: configFile,
      BULLPEN_LOG_LEVEL: 'debug',
      BULLPEN_WARM_PROCESSES: '0', // only those start that a test asks for
      BULLPEN_PORT: '0',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_AUTOUPDATER: '1',
      ...options.env,
    },
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>; // the event's arguments
  const log = (): string => chunks.join('');
  const { url, redisPort } = await ready(child, log);
  // An unused pipe must not keep the test process alive.
  child.disconnect();
  const pid = child.pid ?? 0;
  // Its own disk is mounted for itself alone.
  const home = options.disk === undefined ? data : `/proc/${pid}/root${data}`;
  const token = readFileSync(join(home, 'token'), 'utf8').trim();

  const server: TestServer = {
    leaveLog: () => void child.stdout?.destroy(),
    url,
    token,
    redisPort,
    pid,
    dir,
    home,
    workspace,
    log,
    api(method, path, body, headers = {}) {
      return fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    },
    async run(request, waitSeconds = 30) {
      const response = await server.api('POST', `/v1/jobs?wait=${waitSeconds}`, request);
      if (!response.ok) throw new Error(`POST /v1/jobs: ${response.status} ${await response.text()}`);
      return (await response.json()) as Job; // the documented answer
    },
    async job(id) {
      const response = await server.api('GET', `/v1/jobs/${id}`);
      if (!response.ok) throw new Error(`GET /v1/jobs/${id}: ${response.status} ${await response.text()}`);
      return (await response.json()) as Job; // the documented answer
    },
    async finished(id, timeoutMs = 60_000) {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const response = await server.api('GET', `/v1/jobs/${id}?wait=5`);
        if (response.ok) {
          const job = (await response.json()) as Job; // the documented answer
          if (job.finished) return job;
          if (performance.now() > deadline)
            throw new Error(`job ${id} is still ${job.status}\n${log().slice(-4000)}`);
        } else if (performance.now() > deadline) {
          throw new Error(`GET /v1/jobs/${id}: ${response.status}\n${log().slice(-4000)}`);
        }
      }
    },
    async kill(signal) {
      if (isAlive(pid)) child.kill(signal);
      const [code, by] = await exited;
      return { code, signal: by };
    },
    async stop() {
      if (isAlive(pid)) child.kill('SIGTERM');
      await exited;
      writeFileSync(logFile, log());
    },
  };
  return server;
}

function ready(child: ChildProcess, log: () => string): Promise<{ url: string; redisPort: number | null }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('did not start in time'), START_WITHIN_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`the server ${why}:\n${log()}`));
    };
    const onExit = (code: number | null): void => fail(`ended with ${code}`);
    child.once('exit', onExit);
    child.once('message', (message) => {
      clearTimeout(timer);
      child.off('exit', onExit);
      resolve(message as { url: string; redisPort: number | null }); // sent by main.ts
    });
  });
}
