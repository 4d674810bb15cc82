/**
 * The only composition root of the main process. Services are built and started here from ⑧ back to ①:
 * lock → store → Redis → records → executor (which first settles what an earlier run left) → workers → HTTP.
 * They stop in reverse.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { createAuthenticator, loadOrCreateAdminToken } from './auth/keyring.ts';
import { type Principal, RAW_PRINCIPAL } from './auth/principal.ts';
import type { Settings } from './config/schema.ts';
import { createDamageReports } from './damage.ts';
import { createEventHub } from './events/hub.ts';
import { createServerProbe, createStateFolders } from './executor/cli-probe.ts';
import { createExecutor, type RecoveryReport } from './executor/executor.ts';
import { createKnownSessions, storedSessions } from './executor/known-sessions.ts';
import { createUntrustedEnvironment } from './executor/untrusted-environment.ts';
import { warmSettings, workersFor } from './executor/warm/warm-settings.ts';
import { createFailpoint } from './failpoint.ts';
import { createHttpServer, DEFAULT_HTTP_SETTINGS, listen } from './http/server.ts';
import { createIdFactory } from './ids.ts';
import { createBatchService } from './jobs/batch-service.ts';
import { createJobService } from './jobs/job-service.ts';
import { createPromptResolver } from './jobs/resolve-prompt.ts';
import { createSessionPlacement } from './jobs/session-placement.ts';
import { createLifecycle, started } from './lifecycle.ts';
import { createCircuits } from './limits/circuits.ts';
import { createLauncher } from './processes/launcher.ts';
import { createProcScanner } from './processes/proc-scanner.ts';
import { createProviderEnvironments } from './providers/environment.ts';
import { createProviders } from './providers/registry.ts';
import { createPromptQueue } from './queue/prompt-queue.ts';
import { createReconciler } from './queue/reconcile.ts';
import { createUpkeepLoop } from './queue/upkeep.ts';
import { createWorkerPool } from './queue/worker-pool.ts';
import { openRpc } from './records/open-records.ts';
import { openRedis } from './redis/connection.ts';
import { createNames } from './redis/names.ts';
import { startRedis } from './redis/private/start-redis.ts';
import { createJobWaits } from './rpc/job-waits.ts';
import { createRawRequests } from './rpc/raw-requests.ts';
import { createRpcServer } from './rpc/server.ts';
import { siblingModule } from './sibling-module.ts';
import { createHealth } from './status/health.ts';
import { createMetrics } from './status/metrics.ts';
import { createProviderReports } from './status/provider-reports.ts';
import { createCopier, logEnded } from './store/copier.ts';
import { loadNodeId, openDataFolder } from './store/data-folder.ts';
import { createLedger } from './store/ledger.ts';
import { openStore } from './store/store.ts';
import { within } from './timing.ts';
import { createPricing } from './usage/pricing.ts';
import { withRoots } from './workspace.ts';

export interface AppOptions {
  readonly settings: Settings;
  /** The server's own environment, from which each CLI gets its allow-listed part. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly logger: Logger;
  /** Real paths of directories inside which a job may run, too; asked at each look. null: none. */
  readonly moreRoots?: (() => readonly string[]) | null;
}

export interface App {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  /** Port of the private Redis; null with REDIS_URL. */
  readonly redisPort: number | null;
  readonly tokenFile: string;
  readonly recovery: RecoveryReport;
  /** Refuses new work, lets running jobs end within the drain time, interrupts the rest, stops everything. */
  stop(): Promise<void>;
  /** Makes a stop under way skip what is left of the drain. */
  hurry(): void;
}

const STOP_MARGIN_MS = 15_000;
const LAST_LOOK_MS = 1000;

/** Builds and starts a whole server; what fails to start stops what had started. */
export async function startApp(options: AppOptions): Promise<App> {
  const { settings, env, version, logger, moreRoots = null } = options;
  const life = createLifecycle(logger);
  const component = (name: string): Logger => logger.child({ component: name });
  const newId = createIdFactory();

  const damage = createDamageReports(component('storage'));
  const { report } = damage;
  const failpoints = env['BULLPEN_TEST_FAILPOINTS'];
  const failpoint = createFailpoint(failpoints);
  await life.phase('folder lock', { start: () => openDataFolder(settings), stop: (lock) => lock.release() });
  const nodeId = await loadNodeId(settings.home);
  const bootId = newId().id;
  // ⑧ store
  const store = await life.phase('store', {
    start: () => openStore({ file: join(settings.home, 'ledger.db'), report, logger: component('store') }),
    stop: (opened) => opened.close(),
  });

  const server = await life.phase('redis', {
    start: () => startRedis({ settings, searchPath: env['PATH'] ?? '', logger: component('redis') }),
    stop: (started) => started.stop(),
    deadlineMs: 30_000,
  });
  const names = createNames(settings);
  const redis = await life.phase('redis connections', {
    start: () => openRedis(server.url, component('redis')),
    stop: (opened) => opened.close(),
  });
  const { records, batchRecords, claims, upkeep, doorbells } = await openRpc({
    ...{ redis, names, nodeId, settings, moreRoots, report },
    logger: component('rpc'),
  });
  const queue = createPromptQueue(redis.commands, names);
  const reconciler = createReconciler({
    records,
    queue,
    store,
    bootId,
    restoreYoungerThanMs: server.port === null ? 0 : settings.keepInRedisMs,
    logger: component('reconcile'),
  });
  const copier = await life.phase('copies', {
    start: () =>
      started(
        createCopier({
          ...{ blocking: redis.blocking, redis: redis.commands },
          log: names.log,
          records,
          eventsKey: names.events,
          ...{ store, report },
          onLogReplaced: reconciler.restoreLost,
          onEnded: logEnded(component('jobs'), nodeId),
          logger: component('copies'),
        }),
      ),
    stop: (created) => created.stop(),
  });

  // ⑤ ⑥ executor and providers
  const providers = createProviders(settings.providers, {
    runningAsRoot: process.getuid?.() === 0,
    sandboxMarker: env['IS_SANDBOX'] === '1',
    sdkRunner: {
      node: process.execPath,
      script: fileURLToPath(siblingModule(import.meta.url, './anthropic-runner/main')),
    },
  });
  const environment = createProviderEnvironments(env, providers, settings.passEnv);
  const probe = createServerProbe(env, settings.roots);
  const stateFolders = createStateFolders();
  const pricing = createPricing(settings.prices);
  const circuits = createCircuits({ circuitMs: settings.authCircuitMs });
  const upkeepLoop = createUpkeepLoop({
    upkeep,
    records,
    queue,
    store,
    everyMs: settings.sweepMs * 5,
    maxQueued: settings.maxQueued,
    nodeLostAfterMs: settings.nodeLostAfterMs,
    keepJobsMs: settings.keepJobsMs,
    keepEventsMs: settings.keepEventsMs,
    keepUsageMs: settings.keepUsageMs,
    inTouchForMs: redis.inTouchForMs,
    logger: component('upkeep'),
  });
  const launcher = await life.phase('launcher', {
    start: () => started(createLauncher({ dir: settings.home, logger: component('launcher') })),
    stop: (created) => created.stop(),
  });
  const waits = createJobWaits(doorbells, names.responses);
  const executor = createExecutor({
    claims,
    ledger: createLedger(store, bootId),
    prepare: {
      nodeId,
      providers,
      probe,
      stateFolders,
      pricing,
      settings: withRoots(settings, moreRoots),
      environment,
      untrusted: createUntrustedEnvironment({ launch: launcher.launch }),
      scratchDir: join(settings.home, 'tmp'),
      limits: settings,
      warm: warmSettings(settings),
      sessions: createKnownSessions(storedSessions(store, copier)),
      readEvents: records.events,
    },
    circuits,
    scanner: createProcScanner(),
    launch: launcher.launch,
    concurrency: settings.concurrency,
    leaseMs: settings.leaseMs,
    sweepMs: settings.sweepMs,
    retryBackoffMs: settings.retryBackoffMs,
    cutOffMs: settings.nodeLostAfterMs * 0.9,
    othersRegistered: () => upkeepLoop.otherNodes > 0,
    onSent: waits.wake,
    onSuperseded: reconciler.settleKnown,
    logger: component('executor'),
    failpoint,
  });
  const rawOn = settings.rawRequests === 'on' || (settings.rawRequests === 'auto' && server.port !== null);
  const rpc = createRpcServer({
    doorbells,
    channel: names.requests,
    onRun: executor.kick,
    onCancel: executor.lookAtCancel,
    raw: rawOn
      ? createRawRequests({
          claims,
          doorbells,
          responses: names.responses,
          resolve: (request) =>
            createPromptResolver(RAW_PRINCIPAL, { settings, providers, pricing })(request),
          newId,
          newExecutionId: () => newId().id,
        })
      : null,
    logger: component('rpc'),
  });
  const stopExecutor = async (): Promise<void> => {
    await executor.stop(0); // has ended already, unless another part did not start
    await upkeepLoop.stop();
    await rpc.stop();
    await upkeep.leave().catch(() => undefined); // Redis may be gone first
  };
  const recovery = await life.phase('executor', {
    start: async () => {
      try {
        const report = await executor.start();
        await rpc.start();
        await upkeepLoop.start();
        return report;
      } catch (error) {
        await stopExecutor();
        throw error;
      }
    },
    stop: stopExecutor,
  });

  // ③ sandboxed workers
  const workers = await life.phase('workers', {
    start: async () => {
      const pool = createWorkerPool({
        settings: { ...settings, redisUrl: server.workerUrl, ...(failpoints && { failpoints }) },
        ...{ redisUrl: server.url, names, concurrency: workersFor(settings), lockMs: settings.lockMs },
        logger: component('workers'),
      });
      return started(pool);
    },
    stop: (pool) => pool.stop(),
    deadlineMs: STOP_MARGIN_MS,
  });

  // ① ⑦ HTTP and streams
  const metrics = createMetrics({
    jobsByStatus: () => store.run('jobs.countByStatus', {}),
    queue: () => upkeep.counts(),
    ...{ damage, executor },
  });
  const resolving = { settings: withRoots(settings, moreRoots), providers, pricing };
  const accepting = {
    resolverFor: (principal: Principal) => createPromptResolver(principal, resolving),
    placeSession: createSessionPlacement(store, copier),
    admit: upkeepLoop.admit,
    newId,
  };
  const jobs = createJobService({ records, queue, waits, store, copier, failpoint, ...accepting });
  const batches = createBatchService({
    records,
    batches: batchRecords,
    queue,
    store,
    copier,
    ...accepting,
  });
  const http = await life.phase('http', {
    start: async () => {
      await waits.start();
      const app = await createHttpServer({
        settings: { ...DEFAULT_HTTP_SETTINGS, bodyLimitBytes: settings.bodyLimitBytes },
        jobs,
        batches,
        events: createEventHub({
          ...{ records, store, doorbells, liveChannel: names.live },
          readJob: (id) => jobs.get({ id: 'stream', admin: true }, id),
          logger: component('streaming'),
        }),
        health: createHealth({
          ...{ redis: redis.commands, redisProblem: server.problem },
          ...{ upkeep, store, executor, launcher, workers, metrics, damage },
          providers: createProviderReports({
            ...{ providers, probe, stateFolders, circuits, environment, executor },
          }),
        }),
        usage: async ({ id, admin }, query) => {
          await copier.catchUp();
          return store.run('usage.report', { ...query, owner: admin ? null : id });
        },
        auth: createAuthenticator({ adminToken: await loadOrCreateAdminToken(settings.home) }),
        board: [queue.queue],
        logger: component('http'),
        version,
      });
      return { app, url: await listen(app, settings) };
    },
    stop: async ({ app }) => {
      await app.close();
      await waits.stop();
      metrics.stop();
      await queue.close();
    },
  });

  return {
    url: http.url,
    redisPort: server.port,
    tokenFile: join(settings.home, 'token'),
    recovery,
    async stop() {
      // Refuse new requests, take nothing more from the queue, let what runs end; the phases do the rest.
      http.app.refuseNewRequests();
      await workers.pause();
      await executor.stop(settings.drainMs);
      await within(
        LAST_LOOK_MS,
        copier.catchUp().catch(() => undefined),
      ); // the log tells how they ended
      await life.stop();
    },
    hurry: executor.abort,
  };
}
