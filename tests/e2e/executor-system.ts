/** A real server, and a real executor that runs its jobs behind a network that a test can break. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { KnownExecution } from '../../src/protocol/executor-service.ts';
import type { Job } from '../../src/protocol/job.ts';
import { eventually } from '../helpers/eventually.ts';
import { EXECUTOR_SECRET, type ExecutorProgram, launchExecutor } from '../helpers/executor-program.ts';
import { createFailpoints, type Failpoints } from '../helpers/failpoints.ts';
import { fakePrompt, installFakeCli, journalOf } from '../helpers/fake-cli.ts';
import { processesWithMarker } from '../helpers/proc.ts';
import { launchServer, type TestServer } from '../helpers/server.ts';
import { sharedFromStart, whenOver } from '../helpers/shared.ts';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts';
import { makeTempDir, removeDir } from '../helpers/temp.ts';
import { expectEndedOnce, PATIENCE, QUICK, reached } from './fake-system.ts';

export interface ExecutorSystem {
  readonly server: TestServer;
  readonly executor: ExecutorProgram;
  /** Between the two. */
  readonly network: TcpProxy;
  /** Failpoints of the one and of the other. */
  readonly at: { readonly server: Failpoints; readonly executor: Failpoints };
  /** The network leads to the executor again. */
  reconnect(): void;
  restartServer(): Promise<void>;
  /** @param fresh with an empty data folder, as on another host */
  restartExecutor(fresh?: boolean): Promise<void>;
  submit(request: Record<string, unknown> & { prompt: string }): Promise<string>;
  /** A prompt that says a word, reports that it streams, and says the rest when it may. */
  gated(): { readonly prompt: string; streams(): Promise<true>; letGo(): void };
  /** How often CLIs were started for a job, in both programs. */
  spawnsOf(job: Job): Promise<number>;
  /** What the executor knows, as it shows it. */
  known(): Promise<readonly KnownExecution[]>;
  /** Processes of CLIs that the executor has left. */
  left(): number[];
}

export interface ExecutorSystemOptions {
  readonly server?: Readonly<Record<string, string>>;
  readonly executor?: Readonly<Record<string, string>>;
}

/** A system for every test of the block that calls this. */
export const sharedExecutorSystem = (options: ExecutorSystemOptions = {}): (() => ExecutorSystem) =>
  sharedFromStart(() => startExecutorSystem(options));

async function startExecutorSystem(options: ExecutorSystemOptions): Promise<ExecutorSystem> {
  const dir = makeTempDir();
  const journal = join(dir, 'journal.jsonl');
  const workspace = join(dir, 'workspace');
  const folders = { server: makeTempDir(), executor: makeTempDir() };
  const at = { server: createFailpoints(folders.server), executor: createFailpoints(folders.executor) };
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal });
  const config = { providers: { claude: { binary } } };
  mkdirSync(workspace);
  const network = await startTcpProxy();
  const pointAt = ({ url }: ExecutorProgram): void => network.setTarget(Number(new URL(url).port));
  let homes = 0;

  const startExecutor = () =>
    launchExecutor({
      ...{ dir: join(dir, `executor-${homes}`), config },
      env: {
        ...QUICK,
        BULLPEN_TEST_FAILPOINTS: folders.executor,
        BULLPEN_CWD: workspace,
        ...options.executor,
      },
    });
  const startServer = () =>
    launchServer({
      ...{ dir: join(dir, 'server'), config },
      env: {
        ...QUICK,
        BULLPEN_TEST_FAILPOINTS: folders.server,
        BULLPEN_CWD: workspace,
        BULLPEN_EXECUTOR: 'http',
        CLAUDE_SERVICE_URL: network.url,
        CLAUDE_SERVICE_SECRET: EXECUTOR_SECRET,
        CLAUDE_SERVICE_TIMEOUT: '3000',
        ...options.server,
      },
    });
  let executor = await startExecutor();
  pointAt(executor);
  let server = await startServer();
  let files = 0;
  const newFile = (name: string): string => {
    files += 1;
    return join(dir, `${files}-${name}`);
  };

  whenOver(async () => {
    // A test that failed half-way must not leave a program waiting.
    for (const folder of Object.values(folders)) removeDir(folder);
    await server.stop();
    await executor.kill('SIGTERM');
    await network[Symbol.asyncDispose]();
    removeDir(dir);
  });
  return {
    get server() {
      return server;
    },
    get executor() {
      return executor;
    },
    ...{ network, at, reconnect: () => pointAt(executor) },
    async restartServer() {
      at.server.clear();
      server = await startServer();
    },
    async restartExecutor(fresh = false) {
      at.executor.clear();
      if (fresh) homes += 1;
      executor = await startExecutor();
      pointAt(executor);
    },
    submit: async (request) => (await server.run(request, 0)).id,
    gated() {
      const [streaming, go] = [newFile('streaming'), newFile('go')];
      return {
        prompt: fakePrompt([
          { delta: 'partial' },
          { touch: streaming },
          { waitFor: go },
          { delta: ' and done' },
        ]),
        streams: () => reached(streaming),
        letGo: () => writeFileSync(go, ''),
      };
    },
    async spawnsOf(job) {
      const events = await expectEndedOnce(server, job);
      const ids = events.flatMap((event) => (event.kind === 'job.running' ? [event.executionId] : []));
      const started = journalOf(journal, 'start').map(({ marker }) => marker ?? '');
      return started.filter((marker) => ids.some((id) => marker.includes(id))).length;
    },
    known: async () => (await executor.client.known()).executions.filter(({ state }) => state !== 'ended'),
    left() {
      const node = readFileSync(join(executor.dir, 'data', 'node-id'), 'utf8').trim();
      return processesWithMarker(`BULLPEN_EXECUTION_ID=${node}/`);
    },
  };
}

/** Nothing is left over, and the next job runs. */
export async function expectWhole(system: ExecutorSystem): Promise<void> {
  await eventually(() => expect(system.left()).toEqual([]), PATIENCE);
  const next = await system.server.run({ prompt: 'next' }, 60);
  expect(next).toMatchObject({ status: 'succeeded', outcome: { text: 'fake: next', executor: 'http' } });
}
