/** A real executor in a process of its own, as a user runs it: `node src/bin.js executor`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { createExecutorClient, type ExecutorClient } from '../../src/remote/client.ts';
import { installFakeCli, readJournal } from './fake-cli.ts';
import { isAlive } from './proc.ts';
import { PROGRAM } from './program.ts';
import { CACHE_DIR } from './redis-private.ts';
import { onDisk } from './server.ts';
import { whenOver } from './shared.ts';
import { makeTempDir, removeDir } from './temp.ts';

const START_WITHIN_MS = 60_000;
export const EXECUTOR_SECRET = 'a test secret of more than thirty-two bytes';

export interface ExecutorProgramOptions {
  /** More variables, over the harness's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Content of bullpen.config.yaml. claude is the fake CLI. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Its data folder is a disk of its own of this size (`24m`); needs `mayMount()`. */
  readonly disk?: string;
  /** Folder to live in (home, workspace, data); the caller deletes it. Default: a new one. */
  readonly dir?: string;
}

export interface ExecutorProgram {
  readonly url: string;
  readonly pid: number;
  readonly dir: string;
  readonly workspace: string;
  readonly client: ExecutorClient;
  log(): string;
  /** What its fake CLIs did. */
  journal(): ReturnType<typeof readJournal>;
  /** Sends a signal and waits for the process to be gone. */
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and its exit. Idempotent. */
  stop(): Promise<void>;
}

/** Starts an executor, which is stopped after the test, or after the file if it is shared. */
export async function startExecutor(options: ExecutorProgramOptions = {}): Promise<ExecutorProgram> {
  const own = options.dir === undefined;
  const dir = options.dir ?? makeTempDir();
  const executor = await launchExecutor({ ...options, dir });
  whenOver(async () => {
    await executor.stop();
    if (own) removeDir(dir);
  });
  return executor;
}

/** Starts an executor in `dir` and waits until it is ready; the caller stops it. */
export async function launchExecutor(
  options: ExecutorProgramOptions & { readonly dir: string },
): Promise<ExecutorProgram> {
  const { dir, config = {}, env = {}, disk } = options;
  const data = join(dir, 'data');
  const workspace = join(dir, 'workspace');
  const journal = join(dir, 'journal');
  for (const folder of [workspace, join(dir, 'home'), ...(disk === undefined ? [] : [data])])
    mkdirSync(folder, { recursive: true });
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const configFile = join(dir, 'bullpen.config.yaml');
  writeFileSync(configFile, stringify({ providers: { claude: { binary } }, ...config }));
  const chunks: string[] = [];
  const program = [process.execPath, '--no-warnings', PROGRAM, 'executor'];
  const [command = '', ...args] = disk === undefined ? program : onDisk(disk, data, program);
  const child = spawn(command, args, {
    cwd: workspace,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: join(dir, 'home'),
      ANTHROPIC_API_KEY: 'sk-ant-a-key-for-the-fake-cli', // without a login it is not healthy
      BULLPEN_HOME: data,
      BULLPEN_CACHE: CACHE_DIR,
      BULLPEN_CONFIG: configFile,
      BULLPEN_LOG_LEVEL: 'debug',
      BULLPEN_WARM_PROCESSES: '0', // only those start that a test asks for
      CLAUDE_SERVICE_PORT: '0',
      CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET,
      ...env,
    },
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>; // the event's arguments
  const log = (): string => chunks.join('');
  const url = await ready(child, log);
  child.disconnect(); // an unused pipe must not keep the test process alive
  const pid = child.pid ?? 0;
  const client = createExecutorClient({ url, secret: EXECUTOR_SECRET, timeoutMs: 20_000 });
  return {
    ...{ url, pid, dir, workspace, client, log },
    journal: () => readJournal(journal),
    async kill(signal) {
      if (isAlive(pid)) child.kill(signal);
      const [code, by] = await exited;
      client.close();
      return { code, signal: by };
    },
    signal: (signal) => void child.kill(signal),
    async stop() {
      client.close();
      if (isAlive(pid)) child.kill('SIGTERM');
      await exited;
    },
  };
}

function ready(child: ChildProcess, log: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('did not start in time'), START_WITHIN_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`the executor ${why}:\n${log()}`));
    };
    const onExit = (code: number | null): void => fail(`ended with ${code}`);
    child.once('exit', onExit);
    child.once('message', (message) => {
      clearTimeout(timer);
      child.off('exit', onExit);
      resolve((message as { url: string }).url); // sent by serve-executor.ts
    });
  });
}
