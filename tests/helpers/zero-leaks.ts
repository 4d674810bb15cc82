/**
 * The published promise: nothing that a CLI started is left running. A real CLI is stopped while
 * its tool runs, in every way an execution can end early. Then /proc is read. A zombie is no
 * survivor.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OfflineModel, startOfflineModel } from '../../scripts/offline-model/server.ts';
import { eventually } from './eventually.ts';
import { commandLine, isAlive, processesWithMarker } from './proc.ts';
import type { RealCli } from './real-clis.ts';
import { sharedServer, type TestServer } from './server.ts';

const PATIENCE = { timeoutMs: 45_000 };

/** A sleep time that no other process uses. It identifies the processes of one test. */
let lastSleep = 40_000 + (process.pid % 10_000);
function uniqueSleep(): string {
  lastSleep += 1;
  return `${lastSleep}.25`;
}

/** Every living process that sleeps this long, with any parent and any environment. */
const sleepers = (seconds: string): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && isAlive(pid) && commandLine(pid) === `sleep ${seconds}`);

/** The pid of the CLI, from the job's events. */
async function pidOf(server: TestServer, id: string): Promise<number> {
  const response = await server.api('GET', `/v1/jobs/${id}/events`, undefined, {
    accept: 'application/x-ndjson',
  });
  let text = '';
  for await (const chunk of (response.body ?? expect.unreachable()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const pid = /"kind":"execution\.started".*?"pid":(\d+)/.exec(text)?.[1];
    if (pid !== undefined) return Number(pid);
  }
  throw new Error(`no execution has started: ${text}`);
}

interface Running {
  readonly server: TestServer;
  readonly jobId: string;
  /** Of the CLI. */
  readonly pid: number;
  survivors(): number[];
}

/** Starts a job whose CLI runs a tool. The tool has started a second process in its own session. */
async function startTool(cli: RealCli, server: TestServer): Promise<Running> {
  for (const [name, content] of Object.entries(cli.homeFiles)) {
    const file = join(server.dir, 'home', name);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, content);
  }
  const seconds = uniqueSleep();
  const go = join(server.workspace, `started-${seconds}`);
  const prompt = `${cli.tool(`setsid sleep ${seconds} & touch ${go}; sleep ${seconds}`)} [[reply: over]]`;
  const { id } = await server.run({ prompt, provider: cli.name, permissionMode: 'fullAccess' }, 0);
  await eventually(async () => {
    const job = await server.job(id);
    if (job.finished) throw new Error(`it ended too early: ${JSON.stringify(job.outcome)}`);
    expect(existsSync(go)).toBe(true);
    expect(sleepers(seconds)).toHaveLength(2);
  }, PATIENCE);
  const nodeId = readFileSync(join(server.home, 'node-id'), 'utf8').trim();
  const pid = await pidOf(server, id);
  const survivors = (): number[] => [
    ...new Set([...processesWithMarker(`BULLPEN_EXECUTION_ID=${nodeId}/`), ...sleepers(seconds)]),
  ];
  expect(survivors().length).toBeGreaterThanOrEqual(3);
  return { server, jobId: id, pid, survivors };
}

const WAYS: Readonly<
  Record<string, { readonly end: (running: Running) => Promise<unknown>; readonly codes: readonly string[] }>
> = {
  'the job is cancelled': {
    end: ({ server, jobId }) => server.api('POST', `/v1/jobs/${jobId}/cancel`),
    codes: ['execution.cancelled'],
  },
  'the job is cancelled without a grace': {
    end: ({ server, jobId }) => server.api('POST', `/v1/jobs/${jobId}/cancel`, { force: true }),
    codes: ['execution.cancelled'],
  },
  'the CLI gets SIGTERM': {
    end: async ({ pid }) => process.kill(pid, 'SIGTERM'),
    codes: ['execution.crashed', 'execution.bad_output'],
  },
  'the CLI gets SIGKILL': {
    end: async ({ pid }) => process.kill(pid, 'SIGKILL'),
    codes: ['execution.crashed'],
  },
};

/** Call it at the top of a test file: the tests of one CLI, on one server. */
export function leavesNothing(cli: RealCli): void {
  describe(cli.name, () => {
    let model: OfflineModel;
    beforeAll(async () => {
      model = await startOfflineModel();
    });
    afterAll(() => model.stop());
    const shared = sharedServer(() => ({ env: cli.env(model), config: cli.config(model) }));

    it.each(Object.entries(WAYS))('leaves nothing when %s while its tool runs', async (_, { end, codes }) => {
      const running = await startTool(cli, shared());
      await end(running);
      const job = await running.server.finished(running.jobId);
      expect(codes).toContain(job.outcome?.error?.code);
      await eventually(() => expect(running.survivors()).toEqual([]), PATIENCE);
    });

    it('leaves nothing when the server is killed while its tool runs', async () => {
      const running = await startTool(cli, shared());
      await running.server.kill('SIGKILL');
      await eventually(() => expect(running.survivors()).toEqual([]), PATIENCE);
    });
  });
}
