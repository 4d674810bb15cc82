/**
 * The composition root of `bullpen executor`: the server's executor behind another door, without
 * Redis. It builds and starts all parts, and contains no logic.
 * Order: data folder → store → launcher → executor (it first settles the executions of an earlier
 * start) → HTTP. They stop in reverse.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { RAW_PRINCIPAL } from './auth/principal.ts';
import type { Settings } from './config/schema.ts';
import { createDamageReports } from './damage.ts';
import { createExecutor } from './executor/executor.ts';
import { createKnownSessions, storedTotals } from './executor/known-sessions.ts';
import { onThisHost } from './executor/open-prepare.ts';
import type { PrepareOptions } from './executor/prepare.ts';
import type { RecoveryReport } from './executor/recovery.ts';
import { createFailpoint } from './failpoint.ts';
import { listen } from './http/listen.ts';
import { createIdFactory } from './ids.ts';
import { createPromptResolver } from './jobs/resolve-prompt.ts';
import { type Lifecycle, withLifecycle } from './lifecycle.ts';
import { createLauncher } from './processes/launcher.ts';
import { createProcScanner } from './processes/proc-scanner.ts';
import { createProviderEnvironments } from './providers/environment.ts';
import { createProviders, type RegisteredProvider } from './providers/registry.ts';
import type { Redactor } from './redactor.ts';
import { createExecutorDoor } from './remote/door/door.ts';
import { createExecutorMetrics } from './remote/door/metrics.ts';
import { createExecutions } from './remote/executions/executions.ts';
import { createExecutorHealth } from './remote/executions/health.ts';
import { createRetention } from './remote/executions/retention.ts';
import { NO_JOB_TOKENS, NO_TALK, OPEN_CREDENTIALS } from './remote/executions/without-records.ts';
import { siblingModule } from './sibling-module.ts';
import { createCliReports } from './status/cli-reports.ts';
import { loadNodeId, openDataFolder } from './store/data-folder.ts';
import { openStore } from './store/store.ts';
import { createUsedSignatures } from './store/used-signatures.ts';

export interface ExecutorAppOptions {
  readonly settings: Settings;
  /** The program's own environment, from which each CLI gets its allow-listed part. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of this program. */
  readonly version: string;
  readonly redactor: Redactor;
  readonly logger: Logger;
  /** Milliseconds of a clock that only goes forward, for leases. Default: the process's. */
  readonly now?: () => number;
}

export interface ExecutorApp {
  /** `http://127.0.0.1:3001` */
  readonly url: string;
  /** Id of the ledger. */
  readonly node: string;
  readonly recovery: RecoveryReport;
  /** Refuses new executions, gives running ones the drain time, interrupts the rest, stops all. */
  stop(): Promise<void>;
  /** Ends the drain time of a `stop()` that is under way. */
  hurry(): void;
}

/** How often old executions are removed. */
const RETENTION_EVERY_MS = 10 * 60_000;

/** Builds and starts a whole executor. If a part fails to start, all others are stopped. */
export function startExecutorApp(options: ExecutorAppOptions): Promise<ExecutorApp> {
  return withLifecycle(options.logger, (life) => startParts(options, life));
}

async function startParts(options: ExecutorAppOptions, life: Lifecycle): Promise<ExecutorApp> {
  const { settings, env, version, redactor, logger, now = () => performance.now() } = options;
  const component = (name: string): Logger => logger.child({ component: name });
  const newId = createIdFactory();
  const local: Settings = { ...settings, executor: 'local' }; // also where both have one environment
  const providers = createProviders(withoutFallbacks(settings.providers), {
    runningAsRoot: process.getuid?.() === 0,
    sandboxMarker: env['IS_SANDBOX'] === '1',
    sdkRunner: {
      node: process.execPath,
      script: fileURLToPath(siblingModule(import.meta.url, './anthropic-runner/main')),
    },
  });

  // Data folder. A server's ledger has outcomes that only the server may deliver.
  const file = settings.databasePath ?? join(settings.home, 'executor.db');
  const lock = await openDataFolder(settings);
  life.onStop('folder lock', () => lock.release());
  const nodeId = await loadNodeId(settings.home);
  const { report } = createDamageReports(component('storage'));
  const store = await openStore({ file, report, logger: component('store') });
  life.onStop('store', () => store.close());
  // Not the id of the data folder: without its ledger it does not know what it has started.
  const node = await store.run('ledger.identity', {});

  // Executor
  const launcher = createLauncher({ dir: settings.home, logger: component('launcher') });
  await life.start('launcher', launcher);
  const environment = createProviderEnvironments(env, providers, settings.passEnv);
  const host = onThisHost({
    ...{ settings, env, nodeId, providers, environment, launcher, databaseFile: file },
  });
  const executions = createExecutions({
    ...{ node, bootId: newId().id, store, now },
    resolve: (request) =>
      createPromptResolver(RAW_PRINCIPAL, { settings: local, providers, pricing: host.pricing })(request),
    newId: () => newId().id,
    kick: () => executor.kick(),
    lookAtCancel: (id) => executor.lookAtCancel(id),
    refusedMs: settings.authCircuitMs,
    logger: component('executions'),
  });
  const prepare: PrepareOptions = {
    ...host,
    ...executions.submitted,
    jobTokens: NO_JOB_TOKENS,
    sessions: createKnownSessions(async () => null, storedTotals(store)),
    readEvents: (jobId, after, limit) => store.run('events.read', { jobId, after, limit }),
  };
  const executor = createExecutor({
    claims: executions.claims,
    ledger: executions.ledger,
    prepare,
    credentials: OPEN_CREDENTIALS,
    scanner: createProcScanner(),
    launch: launcher.launch,
    concurrency: settings.concurrency,
    leaseMs: settings.leaseMs,
    sweepMs: settings.sweepMs,
    retryBackoffMs: settings.retryBackoffMs,
    cutOffMs: settings.nodeLostAfterMs,
    othersRegistered: () => false,
    onSent: () => undefined,
    onGiven: () => undefined,
    onSuperseded: () => undefined,
    talk: NO_TALK,
    redactor,
    measures: { swept: () => undefined, recovered: () => undefined },
    logger: component('executor'),
    failpoint: createFailpoint(env['BULLPEN_TEST_FAILPOINTS']),
  });
  const recovery = await life.start('executor', {
    start: () => executor.start(),
    stop: () => executor.stop(0), // `ExecutorApp.stop` has drained it, unless another part did not start
  });
  await life.start(
    'retention',
    createRetention({ store, settings, everyMs: RETENTION_EVERY_MS, logger: component('store') }),
  );

  // HTTP
  const { probe, stateFolders } = host;
  const reports = createCliReports({ probe, stateFolders, environment });
  const reportCli = (one: RegisteredProvider) => reports(one, executions.loginOf(one.provider));
  const signatures = createUsedSignatures(store);
  const door = await createExecutorDoor({
    ...{ settings, executions, version, redactor, logger: component('http') },
    health: createExecutorHealth({
      ...{ reportCli, provider: providers.get(settings.provider) },
      problem: () =>
        executor.status().accepting
          ? (executor.problem() ?? launcher.problem() ?? signatures.problem())
          : 'the executor takes no new executions',
      activeRequests: () => executions.counts().activeRequests,
    }),
    clis: () => Promise.all(providers.list().map(reportCli)),
    metrics: createExecutorMetrics(executions.counts),
    signatures,
  });
  const place = {
    ...{ host: settings.serviceHost, port: settings.servicePort },
    ...{ hostVariable: 'CLAUDE_SERVICE_HOST', portVariable: 'CLAUDE_SERVICE_PORT' },
  };
  const url = await life.start('http', { start: () => listen(door, place), stop: () => door.close() });

  return {
    url,
    node,
    recovery,
    async stop() {
      door.refuseNewRequests();
      executions.close();
      await executor.stop(settings.drainMs);
      await life.stop();
    },
    hurry: executor.abort,
  };
}

/** The fallback of a provider is the server's business: its outcome has to say so. */
function withoutFallbacks({ custom, ...builtIn }: Settings['providers']): Settings['providers'] {
  const own = Object.entries(builtIn).map(([name, one]) => [name, { ...one, fallback: null }] as const);
  // as: the same names, each with its own settings
  return { ...(Object.fromEntries(own) as Omit<Settings['providers'], 'custom'>), custom };
}
