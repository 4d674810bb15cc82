/** A server, or an executor for one, in its own process: `bullpen serve`, `bullpen executor`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { childrenOf, descendantsOf } from './proc.ts';

const START_WITHIN_MS = 60_000;
const STDERR_SHOWN = 2000;

export interface BenchServerOptions {
  /** The data folder. */
  readonly home: string;
  readonly workspace: string;
  /** The whole environment, except what is set here. */
  readonly env: Readonly<Record<string, string>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its program: bin.js of the source or of the built package, of this checkout or another. */
  readonly bin: string;
}

export type Part = 'main' | 'launcher' | 'workers' | 'redis';

export interface BenchProgram {
  readonly url: string;
  readonly pid: number;
  /** Its processes, except the CLIs. */
  parts(): readonly { readonly part: Part; readonly pid: number }[];
  /** The CLIs, running and idle, with the processes they started. */
  clis(): readonly number[];
  stop(): Promise<void>;
  /** SIGKILL to the main process; resolves when it has exited. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface BenchServer extends BenchProgram {
  readonly token: string;
}

const running = new Set<ChildProcess>();

/** Asks every server to stop, without waiting. For an interrupted benchmark. */
export function stopAllServers(): void {
  for (const child of running) child.kill('SIGTERM');
}

/** @throws when it does not start; no process is left then */
export async function startBenchServer(options: BenchServerOptions): Promise<BenchServer> {
  const program = await start('serve', options);
  return { ...program, token: readFileSync(join(options.home, 'token'), 'utf8').trim() };
}

/** Its address is on loopback. @throws as `startBenchServer` */
export const startBenchExecutor = (options: BenchServerOptions): Promise<BenchProgram> =>
  start('executor', options);

async function start(command: 'serve' | 'executor', options: BenchServerOptions): Promise<BenchProgram> {
  const { home, workspace, bin } = options;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const config = join(home, 'bench.config.yaml');
  writeFileSync(config, stringify(options.config ?? {}));

  const child = fork(bin, [command], {
    cwd: workspace,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: ['--no-warnings'],
    env: { ...options.env, BULLPEN_HOME: home, BULLPEN_CONFIG: config, PORT: '0', CLAUDE_SERVICE_PORT: '0' },
  });
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk).slice(-STDERR_SHOWN);
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  const late = AbortSignal.timeout(START_WITHIN_MS);
  const first = await Promise.race([once(child, 'message', { signal: late }), exited.then(() => null)]).catch(
    () => null,
  );
  if (first === null) {
    child.kill('SIGKILL');
    throw new Error(`bullpen ${command} did not start:\n${stderr}`);
  }
  const { url } = first[0] as { url: string }; // sent when it is ready
  child.disconnect();
  const pid = child.pid ?? 0;
  return {
    url,
    pid,
    parts: () => partsOf(pid),
    clis: () => {
      const own = new Set(partsOf(pid).map((one) => one.pid));
      return descendantsOf(pid).filter((descendant) => !own.has(descendant));
    },
    stop,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    [Symbol.asyncDispose]: stop,
  };
}

function partsOf(pid: number): { readonly part: Part; readonly pid: number }[] {
  const children = childrenOf(pid).flatMap(({ pid: child, command }) => {
    const part = partOf(command);
    return part === null ? [] : [{ part, pid: child }];
  });
  return [{ part: 'main', pid }, ...children];
}

/** Null for a CLI. */
function partOf(command: string): Part | null {
  if (/redis-server|valkey-server/.test(command)) return 'redis';
  if (command.includes('launcher-process')) return 'launcher';
  return /bullmq|worker/.test(command) ? 'workers' : null;
}
