/** An executor over the records, a ledger in memory, and the fake CLI. */

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { expect, onTestFinished } from 'vitest';
import { createJobRights } from '../../../src/auth/job-rights.ts';
import type { Principal } from '../../../src/auth/principal.ts';
import type { Signer } from '../../../src/auth/signer.ts';
import type { AppError } from '../../../src/errors.ts';
import { createCliProbe, createStateFolders } from '../../../src/executor/cli-probe.ts';
import type { ExecutorOptions } from '../../../src/executor/executor.ts';
import { createExecutor } from '../../../src/executor/executor.ts';
import { createKnownSessions } from '../../../src/executor/known-sessions.ts';
import type { Executor } from '../../../src/executor/ports.ts';
import type { PrepareOptions } from '../../../src/executor/prepare.ts';
import { backgroundOf } from '../../../src/executor/turn.ts';
import { createCredentials } from '../../../src/limits/credentials.ts';
import { createLoginNames } from '../../../src/limits/login-names.ts';
import { createLogger } from '../../../src/logger.ts';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import { buildEnvironment } from '../../../src/providers/environment.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import type { Claims, JobRecord, NewJob } from '../../../src/records/ports.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { createMeasures } from '../../../src/status/measures.ts';
import { createPricing } from '../../../src/usage/pricing.ts';
import { newJob } from '../../contracts/records/samples.ts';
import type { JournalEntry } from '../../fakes/fake-cli-journal.ts';
import type { Step } from '../../fakes/fake-cli-steps.ts';
import { createFakeLedger } from '../../fakes/ledger.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, installFakeCli, readJournal } from '../../helpers/fake-cli.ts';
import { launch } from '../../helpers/launcher.ts';
import { isAlive, processesWithMarker } from '../../helpers/proc.ts';
import { openTestRecords } from '../../helpers/redis-records.ts';
import { sharedByHelper } from '../../helpers/shared.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../../unit/providers/settings.ts';

export const NODE = 'n1';
/** The sessions there are. */
export const KNOWN_SESSION = '01J00000000000000000000001';
export const OTHER_SESSION = '01J00000000000000000000002';
export const NATIVE_SESSION = '0b0c9f5e-8f4e-4f57-9d5b-6a5d2f6f9a10';
const SWEEP_AGAIN_MS = 100;
const LONG_MS = 3_600_000;

const recordsOfFile = sharedByHelper(openTestRecords);

/** What a busy machine may need to start and end a few processes. */
const PATIENT = { timeoutMs: 40_000 };

/**
 * @param settings of the providers; claude is the fake CLI unless they say otherwise
 * @param cliEnv more variables for the fake CLI
 */
export async function executorBench(
  settings: Readonly<Record<string, Record<string, unknown>>> = {},
  cliEnv: Readonly<Record<string, string>> = {},
  signer: Signer | null = null,
) {
  const dir = tempDir();
  const workspace = join(dir, 'workspace');
  mkdirSync(workspace);
  const journal = join(dir, 'journal');
  const nodeId = `${NODE}-${randomUUID()}`;
  const binary = await installFakeCli(join(dir, 'bin'), { FAKE_JOURNAL: journal, ...cliEnv });
  const rpc = (await recordsOfFile()).make(signer);
  const ledger = createFakeLedger();
  const logged: Record<string, unknown>[] = [];
  /** Why the next looks for a session fail. */
  const sessionTroubles: AppError[] = [];
  const providers = createProviders(
    providerSettings({ ...settings, claude: { binary, ...settings['claude'] } }),
    PROVIDER_HOST,
  );
  const source = { PATH: process.env['PATH'], HOME: join(dir, 'home') };
  const ownClaims = rpc.claimsOf(nodeId);
  const scanner = createProcScanner();
  /** The active keys. */
  const keys = new Map<string, Principal>();

  const credentials = createCredentials({
    gates: rpc.gates,
    providers,
    logins: createLoginNames({
      ...{ gates: rpc.gates, providers, nodeId, key: 'key', accounts: new Map() },
      environment: (_provider, set) => buildEnvironment({ source, names: [], set }),
    }),
    refusedMs: LONG_MS,
    logger: createLogger('debug', { write: (line) => void logged.push(JSON.parse(line)) }),
  });

  /** A new executor of the node, which is stopped when the test is over. */
  function open(
    {
      warm = { maxProcesses: 0, idleMs: LONG_MS, sessionIdleMs: 0 },
      areEventsAway = () => false,
      holdMs = LONG_MS,
      ...rest
    }: Partial<ExecutorOptions & Pick<PrepareOptions, 'warm'>> & {
      areEventsAway?(): boolean;
      /** How long a process waits for a person. */
      readonly holdMs?: number;
    } = {},
    limits: Partial<PrepareOptions['limits']> = {},
    permitted: Partial<PrepareOptions['settings']> = {},
    rights: PrepareOptions['rights'] = createJobRights({ byId: (id) => keys.get(id) ?? null }),
  ) {
    const sessions = createKnownSessions(
      async (sessionId) => {
        const trouble = sessionTroubles.shift();
        if (trouble !== undefined) throw trouble;
        return [KNOWN_SESSION, OTHER_SESSION].includes(sessionId)
          ? { nativeSessionId: NATIVE_SESSION, tokens: null }
          : null;
      },
      async () => null,
    );
    const readEvents: PrepareOptions['readEvents'] = async (...args) => {
      if (areEventsAway()) throw new Error('Redis is away');
      return rpc.records.events(...args);
    };
    const executor = createExecutor({
      redactor: createRedactor(),
      claims: ownClaims,
      // As workers and the doorbell of their submits do.
      onGiven: (ids) => void rpc.deliver(ids).then(() => executor.kick()),
      ledger,
      prepare: {
        nodeId,
        providers,
        probe: createCliProbe({ searchPath: '', otherPlaces: async () => [], env: {} }),
        stateFolders: createStateFolders(),
        pricing: createPricing({ priced: { input: 1, output: 1 } }),
        settings: {
          roots: [workspace],
          trustedRoots: [],
          allowFullAccess: false,
          maxTimeoutMs: LONG_MS,
          ...permitted,
        },
        rights,
        scratchDir: join(dir, 'scratch'),
        privatePaths: async () => [],
        jobTokens: { variables: async () => null },
        untrusted: Object.assign(async (_cwd: string, env: Readonly<Record<string, string>>) => env, {
          readAhead: () => undefined,
        }),
        environment: (_provider, set) => buildEnvironment({ source, names: [], set }),
        limits: {
          maxMemoryBytes: null,
          maxCpuSeconds: null,
          maxOpenFiles: null,
          maxProcesses: null,
          maxCpuPercent: null,
          cpuWindowMs: LONG_MS,
          maxOutputBytes: 10_000_000,
          maxLineBytes: 1_000_000,
          maxEvents: 10_000,
          maxEventsPerSecond: 10_000,
          maxResultBytes: 100_000,
          killGraceMs: LONG_MS,
          lingerMs: LONG_MS,
          ...limits,
        },
        warm,
        sessions,
        readEvents,
        background: (claim, request, provider) =>
          backgroundOf(claim, request, provider, {
            ...{ sessions, readEvents, approvals: rpc.approvals, sessionRecords: rpc.sessions },
          }),
      },
      talk: {
        approvals: rpc.approvals,
        messages: rpc.messages,
        hold: { approvalHoldMs: LONG_MS, approvalUnattendedMs: holdMs },
        newApprovalId: () => ulid(),
      },
      scanner,
      launch,
      concurrency: 2,
      credentials,
      leaseMs: 600,
      sweepMs: 20,
      retryBackoffMs: 2,
      cutOffMs: LONG_MS,
      othersRegistered: () => false,
      onSuperseded: () => undefined,
      onSent: () => undefined,
      measures: createMeasures([]),
      logger: createLogger('debug', { write: (line) => void logged.push(JSON.parse(line)) }),
      ...rest,
    });
    onTestFinished(async () => {
      executor.abort();
      await executor.stop(0);
      const marker = `${nodeId}/`;
      await eventually(() => expect(processesWithMarker(marker), 'processes outlived the test').toEqual([]));
    });
    return executor;
  }

  /** Delivers again what was not submitted, as the server's upkeep does, until the test is over. */
  function redeliver(executor: Executor): void {
    const sweep = async (): Promise<void> => {
      await rpc.deliver((await rpc.upkeepOf(nodeId).sweep(SWEEP_AGAIN_MS, 100)).deliver);
      executor.kick();
    };
    const sweeps = setInterval(() => void sweep().catch(() => undefined), SWEEP_AGAIN_MS);
    onTestFinished(() => clearInterval(sweeps));
  }

  const read = async (id: string): Promise<JobRecord> => {
    const record = await rpc.records.read(id);
    if (record === null) throw new Error(`there is no record of ${id}`);
    return record;
  };
  const started = (): Extract<JournalEntry, { event: 'start' }>[] =>
    readJournal(journal).filter((entry) => entry.event === 'start');

  return {
    dir,
    workspace,
    nodeId,
    rpc,
    ledger,
    logged,
    sessionTroubles,
    claims: ownClaims,
    keys,
    /** The fields of a record as Redis has them. */
    stored: rpc.stored,
    credentials,
    open,
    redeliver,
    read,
    journal: () => readJournal(journal),
    started,
    prompts: () => readJournal(journal).filter((entry) => entry.event === 'prompt'),
    alive: isAlive,
    /** Processes of the node's executions that live. */
    survivors: () => processesWithMarker(`${nodeId}/`),
    /** Creates and submits a job; its execution has the id `e-<job id>`. */
    async submit(
      request: Partial<ResolvedPrompt> & { steps?: readonly Step[] } = {},
      rest: Partial<NewJob> = {},
    ): Promise<string> {
      const { steps = [], ...said } = request;
      const asked = { prompt: fakePrompt(steps, 'hello'), cwd: workspace, ...said };
      const job = newJob(asked, { principal: 'admin', ...rest });
      await rpc.records.create(job);
      await rpc.submissions.submit(job.id, `e-${job.id}`);
      return job.id;
    },
    finished: (id: string) =>
      eventually(async () => {
        const record = await read(id);
        return record.finishedAt === null ? null : record;
      }, PATIENT),
    /** Resolves when `count` CLIs were started. */
    spawned: (count: number) => eventually(() => started().length >= count, PATIENT),
    until: (check: () => boolean | Promise<boolean>) => eventually(check, PATIENT),
    file: (name: string) => join(dir, name),
    touch: (name: string) => writeFileSync(join(dir, name), ''),
    exists: (name: string) => existsSync(join(dir, name)),
    /** Moves the records' clock on. */
    advance: rpc.advance,
    /** The claims of this node, some of them changed. */
    claimsWith: (changed: Partial<Claims>): Claims => ({ ...ownClaims, ...changed }),
  };
}

/** A place where something waits until it is let go. */
export function createLatch() {
  const reached = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  return {
    reached: reached.promise,
    release: release.resolve,
    async wait(): Promise<void> {
      reached.resolve();
      await release.promise;
    },
  };
}
