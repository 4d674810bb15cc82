/**
 * One server for a whole table of faults: `startServer` belongs to one test, and thirty servers
 * take a minute to start. Its providers are the scripted fake under several names, and binaries
 * that cannot be started.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Job } from '../../../src/protocol/job.ts';
import { installFakeCli, journalOf } from '../../helpers/fake-cli.ts';
import { isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { PROGRAM } from '../../helpers/program.ts';
import { CACHE_DIR } from '../../helpers/redis-private.ts';
import { makeTempDir, removeDir } from '../../helpers/temp.ts';

const START_WITHIN_MS = 60_000;
const FINISHED_WITHIN_MS = 60_000;

export const KILL_GRACE_MS = 500;
export const MAX_EVENTS = 10_000;

const SETTINGS = {
  BULLPEN_CONCURRENCY: '8',
  BULLPEN_SWEEP_MS: '200',
  BULLPEN_RETRY_BACKOFF_MS: '50',
  BULLPEN_KILL_GRACE_MS: String(KILL_GRACE_MS),
  BULLPEN_LINGER_MS: '300',
  BULLPEN_MAX_OUTPUT_BYTES: String(256 * 1024 * 1024),
  BULLPEN_MAX_EVENTS: String(MAX_EVENTS),
  BULLPEN_MAX_EVENTS_PER_SECOND: String(MAX_EVENTS),
  BULLPEN_AUTH_CIRCUIT_MS: '600000',
};

export interface SharedSystem {
  readonly url: string;
  /** Of the server. */
  readonly pid: number;
  readonly workspace: string;
  /** A path in its folder: for barriers. */
  path(name: string): string;
  log(): string;
  api(method: string, path: string, body?: unknown): Promise<Response>;
  /** Makes a job and gives back its id at once. */
  submit(request: Record<string, unknown> & { prompt: string }): Promise<string>;
  job(id: string): Promise<Job>;
  finished(id: string): Promise<Job>;
  readonly journal: string;
  /** Living processes of one execution. */
  marked(executionId: string): number[];
  /** SIGTERM, and all of it is gone. */
  stop(): Promise<void>;
}

export async function startSharedSystem(): Promise<SharedSystem> {
  const dir = makeTempDir();
  const [home, workspace, journal] = ['data', 'workspace', 'journal.jsonl'].map((name) =>
    join(dir, name),
  ) as [string, string, string]; // three names in, three paths out
  for (const folder of [workspace, join(dir, 'home')]) mkdirSync(folder, { recursive: true });
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const updated = await installFakeCli(join(dir, 'updated'), {
    FAKE_JOURNAL: journal,
    FAKE_VERSION: '1.0.0',
  });
  const config = join(dir, 'bullpen.config.yaml');
  writeFileSync(
    config,
    stringify({ providers: { claude: { binary }, custom: customProviders(dir, binary, updated) } }),
  );
  const chunks: string[] = [];
  const log = (): string => chunks.join('');
  const child = fork(PROGRAM, ['serve'], {
    cwd: workspace,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: ['--no-warnings'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: join(dir, 'home'),
      BULLPEN_HOME: home,
      BULLPEN_WARM_PROCESSES: '0',
      BULLPEN_CACHE: CACHE_DIR,
      BULLPEN_CONFIG: config,
      BULLPEN_PORT: '0',
      ...SETTINGS,
    },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  }
  const exited = once(child, 'exit');
  const started = once(child, 'message', { signal: AbortSignal.timeout(START_WITHIN_MS) });
  const first = await Promise.race([started, exited.then(() => null)]);
  if (first === null) throw new Error(`the server has ended:\n${log()}`);
  const [{ url }] = first as [{ url: string }]; // sent by main.ts
  child.disconnect();
  const token = readFileSync(join(home, 'token'), 'utf8').trim();
  const nodeId = readFileSync(join(home, 'node-id'), 'utf8').trim();

  const api: SharedSystem['api'] = (method, path, body) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        accept: path.includes('/events') ? 'application/x-ndjson' : 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const jobOf = async (response: Response): Promise<Job> => {
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    return (await response.json()) as Job; // the documented answer
  };
  return {
    url,
    pid: child.pid ?? 0,
    workspace,
    journal,
    path: (name) => join(dir, name),
    log,
    api,
    submit: async (request) => (await jobOf(await api('POST', '/v1/jobs', request))).id,
    job: async (id) => jobOf(await api('GET', `/v1/jobs/${id}`)),
    async finished(id) {
      const deadline = performance.now() + FINISHED_WITHIN_MS;
      for (;;) {
        const job = await jobOf(await api('GET', `/v1/jobs/${id}?wait=5`));
        if (job.finished) return job;
        if (performance.now() > deadline)
          throw new Error(`job ${id} is still ${job.status}\n${log().slice(-4000)}`);
      }
    },
    marked: (executionId) => processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/${executionId}`),
    async stop() {
      if (isAlive(child.pid ?? 0)) child.kill('SIGTERM');
      await exited;
      // A failed test may leave processes; its failure is reported already.
      for (const { pid } of journalOf(journal, 'start')) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      removeDir(dir);
    },
  };
}

/** The header of a program for a machine that does not exist: `execve` says ENOEXEC. */
const FOREIGN_PROGRAM = Buffer.from(
  '7f454c4602010100000000000000000002000f27010000000000000000000000',
  'hex',
);

function customProviders(dir: string, fake: string, updated: string): Record<string, unknown> {
  const file = (name: string, content: string | Buffer, mode: number): string => {
    const path = join(dir, 'bin', name);
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  };
  return {
    missing: { binary: join(dir, 'bin', 'missing-cli') },
    'foreign-program': { binary: file('foreign', FOREIGN_PROGRAM, 0o755) },
    'no-interpreter': { binary: file('script', '#!/no/such/shell\n', 0o755) },
    'being-written': { binary: file('written', '#!/bin/sh\necho done\n', 0o755) },
    updated: { binary: updated, versionArgs: ['--version'] },
    'large-arguments': { binary: '/bin/echo', args: ['x'.repeat(200_000)] },
    shell: { binary: '/bin/sh' },
    // What is said in lines no provider knows, as a CLI does that wants a login: in words, not in
    // JSON.
    'asks-login': { binary: fake, args: ['--model', 'fake:silent'], output: { ndjson: { text: '/text' } } },
  };
}
