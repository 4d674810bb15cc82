/**
 * The composition root of the main process: it builds and starts all parts, and contains no logic.
 * Order: data folder → Redis → records → store → executor (it first settles the executions of an
 * earlier start) → workers → HTTP. They stop in reverse.
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { createGuesses } from './auth/guesses.ts';
import { createJobTokens } from './auth/job-tokens.ts';
import { createJwtVerifier } from './auth/jwt.ts';
import { createAuthenticator, loadOrCreateAdminToken } from './auth/keyring.ts';
import { createKeys } from './auth/keys.ts';
import { createLoginSessions, loginSecret } from './auth/logins.ts';
import { ADMIN_PRINCIPAL, type Principal, projectOf, RAW_PRINCIPAL } from './auth/principal.ts';
import { createSigner } from './auth/signer.ts';
import { jobsRunHere } from './config/executor-settings.ts';
import { settingsInForce } from './config/in-force.ts';
import type { Settings } from './config/schema.ts';
import { urlSecrets } from './config/secrets.ts';
import { createDamageReports } from './damage.ts';
import { openFeeds } from './events/open-feeds.ts';
import { createExecutor } from './executor/executor.ts';
import { openPrepare } from './executor/open-prepare.ts';
import { readAhead } from './executor/prepare.ts';
import type { RecoveryReport } from './executor/recovery.ts';
import { workersFor } from './executor/warm/look-ahead.ts';
import { createFailpoint } from './failpoint.ts';
import { DEFAULT_HTTP_SETTINGS } from './http/fastify.ts';
import { listen } from './http/listen.ts';
import { builtPage } from './http/routes/page.ts';
import { createHttpServer } from './http/server.ts';
import { createIdFactory } from './ids.ts';
import { openJobs } from './jobs/open-jobs.ts';
import { openSessions } from './jobs/open-sessions.ts';
import { createProcessService } from './jobs/processes.ts';
import { createPromptResolver } from './jobs/resolve-prompt.ts';
import { createReviveSession, createSessionPlacement } from './jobs/session-placement.ts';
import { type Lifecycle, withLifecycle } from './lifecycle.ts';
import { createCallerLimiter } from './limits/callers.ts';
import { createHolds } from './limits/holds.ts';
import { openCredentials } from './limits/open-credentials.ts';
import { createLauncher } from './processes/launcher.ts';
import { createProcScanner } from './processes/proc-scanner.ts';
import { createProviderEnvironments } from './providers/environment.ts';
import { createProviders } from './providers/registry.ts';
import { openCopies } from './queue/open-copies.ts';
import { createPromptQueue } from './queue/prompt-queue.ts';
import { createRevokedJobs } from './queue/revoked-jobs.ts';
import { createUpkeepLoop } from './queue/upkeep.ts';
import { createWorkerPool } from './queue/worker-pool.ts';
import { settledLimits } from './records/limit-records.ts';
import { openRecords } from './records/open-records.ts';
import type { Redactor } from './redactor.ts';
import { openRedis } from './redis/connection.ts';
import { createNames } from './redis/names.ts';
import { startRedis } from './redis/private/start-redis.ts';
import { openRemoteExecutor, withExecutor } from './remote/open-runner.ts';
import { createJobWaits } from './rpc/job-waits.ts';
import { createRawRequests } from './rpc/raw-requests.ts';
import { createRpcServer } from './rpc/server.ts';
import { siblingModule } from './sibling-module.ts';
import { createAudit, createAuditHeads, trimAudit } from './status/audit.ts';
import { createCliReports } from './status/cli-reports.ts';
import { createMeasures } from './status/measures.ts';
import { openStatus } from './status/open-status.ts';
import { loadNodeId, openDataFolder } from './store/data-folder.ts';
import { createEndedLogins } from './store/ended-logins.ts';
import { createKeyCopies } from './store/keys.ts';
import { createLedger } from './store/ledger.ts';
import { logEnded } from './store/log-ended.ts';
import { openStore } from './store/store.ts';
import { createTerminalLedger } from './store/terminals.ts';
import { createTerminalHost } from './terminals/host.ts';
import { createTerminalPreparer } from './terminals/prepare.ts';
import { within } from './timing.ts';
import { withRoots } from './workspace.ts';

export interface AppOptions {
  readonly settings: Settings;
  /** The server's own environment, from which each CLI gets its allow-listed part. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  /** Gets the secrets that the server makes, too. */
  readonly redactor: Redactor;
  readonly logger: Logger;
  /** Real paths of more directories in which jobs may run; read at each use. null: none. */
  readonly moreRoots?: (() => readonly string[]) | null;
}

export interface App {
  /** `http://127.0.0.1:3000` */
  readonly url: string;
  /** Port of the private Redis; null with REDIS_URL. */
  readonly redisPort: number | null;
  readonly tokenFile: string;
  readonly recovery: RecoveryReport;
  /** Refuses new work, gives running jobs the drain time, interrupts the rest, stops everything. */
  stop(): Promise<void>;
  /** Ends the drain time of a `stop()` that is under way. */
  hurry(): void;
}

const STOP_REDIS_MS = 30_000;
const STOP_WORKERS_MS = 15_000;
const LAST_CATCH_UP_MS = 1000;
const STOP_TERMINALS_MS = 30_000;

/** Builds and starts a whole server. If a part fails to start, all others are stopped. */
export function startApp(options: AppOptions): Promise<App> {
  return withLifecycle(options.logger, (life) => startParts(options, life));
}

async function startParts(options: AppOptions, life: Lifecycle): Promise<App> {
  const { env, version, redactor, logger, moreRoots = null } = options;
  const settings = withExecutor(options.settings);
  const component = (name: string): Logger => logger.child({ component: name });
  const newId = createIdFactory();
  const bootId = newId().id;
  const failpoints = env['BULLPEN_TEST_FAILPOINTS'];
  const failpoint = createFailpoint(failpoints);
  const damage = createDamageReports(component('storage'));
  const { report } = damage;
  const providers = createProviders(settings.providers, {
    runningAsRoot: process.getuid?.() === 0,
    sandboxMarker: env['IS_SANDBOX'] === '1',
    sdkRunner: {
      node: process.execPath,
      script: fileURLToPath(siblingModule(import.meta.url, './anthropic-runner/main')),
    },
  });
  const measures = createMeasures(providers.list().map(({ provider }) => provider.name));

  const jwts = await createJwtVerifier({ settings, logger: component('keys') });

  // Data folder
  const file = settings.databasePath ?? join(settings.home, 'ledger.db');
  const lock = await openDataFolder(settings, jobsRunHere(settings));
  life.onStop('folder lock', () => lock.release());
  const nodeId = await loadNodeId(settings.home);

  // Redis, records and queue
  const server = await startRedis({ settings, searchPath: env['PATH'] ?? '', logger: component('redis') });
  life.onStop('redis', () => server.stop(), STOP_REDIS_MS);
  const adminToken = await loadOrCreateAdminToken(settings.home);
  redactor.add([adminToken, ...urlSecrets(server.url), ...urlSecrets(server.workerUrl)]);
  const redis = await openRedis(server.url, component('redis'));
  life.onStop('redis connections', () => redis.close());
  const names = createNames(settings);
  const signer = createSigner(settings.signingSecret);
  const opened = { redis, names, nodeId, settings, moreRoots, report, signer, logger: component('rpc') };
  const { records, batchRecords, changeLog, claims, upkeep, gates, ...more } = await openRecords(opened);
  const { keyRecords, auditLog, preferences, doorbells, requestCounts, sessionRecords, approvals, messages } =
    more;
  const { terminalRecords, nodeAsks } = more;
  await upkeep.join({ version, host: hostname() }, settings.nodeLostAfterMs);
  life.onStop('node', () => upkeep.leave().catch(() => undefined)); // Redis may be gone already

  // ⑧ store: a server that another one keeps out changes nothing in it
  const store = await openStore({ file, report, logger: component('store') });
  life.onStop('store', () => store.close());
  const queue = createPromptQueue(redis.commands, names, failpoint);
  life.onStop('queue', () => queue.close());
  const auditHeads = createAuditHeads({ log: auditLog, store, logger: component('audit') });
  const { copier, reconciler } = openCopies({
    ...{ redis, privateRedis: server.port !== null, names, upkeep, store },
    ...{ records, batchRecords, sessionRecords, approvals },
    ...{ settings, bootId, report, component },
    onEnded: logEnded(component('jobs'), nodeId, measures.jobEnded),
    onAudited: auditHeads.note,
  });
  await life.start('copies', copier);
  await reconciler.migrate(copier.catchUp);

  const keys = createKeys({
    ...{ records: keyRecords, copies: createKeyCopies(store), doorbells, channel: names.keysDoorbell },
    ...{ newId, signer, logger: component('keys') },
  });
  await life.start('keys', keys);

  // ⑤ executor
  const environment = createProviderEnvironments(env, providers, settings.passEnv);
  const credentials = await openCredentials({
    ...{ gates, providers, environment, nodeId, settings },
    logger: component('limits'),
  });
  const allowed = withRoots(settings, moreRoots);
  const upkeepLoop = createUpkeepLoop({
    upkeep,
    queue,
    store,
    everyMs: settings.sweepMs,
    maxQueued: settings.maxQueued,
    nodeLostAfterMs: settings.nodeLostAfterMs,
    keepJobsMs: settings.keepJobsMs,
    keepEventsMs: settings.keepEventsMs,
    keepUsageMs: settings.keepUsageMs,
    trimAudit: (signal) => trimAudit({ store, heads: auditHeads, signal }, settings.keepAuditMs),
    inTouchForMs: redis.inTouchForMs,
    logger: component('upkeep'),
  });
  const launcher = createLauncher({ dir: settings.home, logger: component('launcher') });
  await life.start('launcher', launcher);
  const waits = createJobWaits(doorbells, names.responses);
  const address = Promise.withResolvers<string>();
  const jobTokens = createJobTokens({
    ...{ enabled: settings.jobTokens, address: address.promise, keys },
    running: () => executor.running(),
  });
  const prepare = openPrepare({
    ...{ settings: allowed, env, nodeId, providers, environment, launcher, keys, jobTokens },
    ...{ records, sessionRecords, approvals, store, copier, databaseFile: file },
  });
  const { pricing } = prepare;
  const remote = openRemoteExecutor(allowed, prepare, version, component('executor'), failpoint); // null: CLIs run here
  if (remote !== null) await life.start('remote executor', remote);
  const executor = createExecutor({
    elsewhere: remote?.runner,
    claims: measures.claims(claims),
    ledger: createLedger(store, bootId),
    prepare,
    credentials,
    scanner: createProcScanner(),
    launch: launcher.launch,
    concurrency: settings.concurrency,
    leaseMs: settings.leaseMs,
    sweepMs: settings.sweepMs,
    retryBackoffMs: settings.retryBackoffMs,
    cutOffMs: settings.nodeLostAfterMs * 0.9,
    othersRegistered: () => upkeepLoop.otherNodes > 0,
    onSent: waits.wake,
    onGiven: queue.deliverSoon,
    onSuperseded: reconciler.settleKnown,
    talk: {
      ...{ approvals, messages, hold: settings },
      newApprovalId: () => newId().id,
    },
    redactor,
    measures,
    logger: component('executor'),
    failpoint,
  });
  const rpc = createRpcServer({
    doorbells,
    channel: names.requests,
    onRun: executor.kick,
    onCancel: executor.lookAtCancel,
    onTalk: executor.talk,
    raw: createRawRequests({
      ...{ mode: settings.rawRequests, privateRedis: server.port !== null, signs: signer !== null },
      ...{ claims, doorbells, responses: names.responses },
      resolve: (request) => createPromptResolver(RAW_PRINCIPAL, { settings, providers, pricing })(request),
      newId,
      newExecutionId: () => newId().id,
      redactor,
      logger: component('rpc'),
    }),
    logger: component('rpc'),
  });
  const recovery = await life.start('executor', {
    start: () => executor.start(),
    stop: () => executor.stop(0), // `App.stop` has drained it, unless another part did not start
  });
  const terminalLauncher = createLauncher({
    ...{ dir: settings.home, socket: 'terminals.sock', logger: component('terminals') },
  });
  life.onStop('launcher of terminals', () => terminalLauncher.stop());
  const terminalHost = createTerminalHost({
    ...{ nodeId, launch: terminalLauncher.launch, scanner: createProcScanner() },
    ...{ records: terminalRecords, ledger: createTerminalLedger(store, bootId) },
    lastSeq: async (id) =>
      ((await sessionRecords.read(id)) ?? (await store.run('sessions.copy', { id }))?.record)?.lastSeq ?? 0,
    dir: join(settings.home, 'terminals'),
    recordingBytes: settings.recordingBytes,
    terminalIdleMs: settings.terminalIdleMs,
    killGraceMs: settings.killGraceMs,
    keepMs: settings.keepEventsMs,
    logger: component('terminals'),
    failpoint,
  });
  await life.start('terminals', terminalHost, STOP_TERMINALS_MS);
  const answerNodes = nodeAsks.serve(({ sessionId, ask }) => terminalHost.ask(sessionId, ask));
  await life.start('questions of nodes', answerNodes);
  await life.start('rpc', rpc);
  await life.start('upkeep', upkeepLoop);
  await life.start('revoked jobs', createRevokedJobs({ keys, store, upkeep, logger: component('upkeep') }));

  // ③ sandboxed workers
  const workers = createWorkerPool({
    settings: { ...settings, redisUrl: server.workerUrl, ...(failpoints && { failpoints }) },
    redisUrl: server.url,
    names,
    concurrency: workersFor(settings),
    lockMs: settings.lockMs,
    processor: siblingModule(import.meta.url, '../workers/prompt.worker'),
    logger: component('workers'),
  });
  await life.start('workers', workers, STOP_WORKERS_MS);

  // ① ⑦ HTTP and streams
  const callers = createCallerLimiter(requestCounts, settledLimits(settings), measures.limited);
  const closedGates = () => gates.inTheWay().catch(() => null); // Redis is away
  const resolverFor = (principal: Principal) =>
    createPromptResolver(principal, { settings: allowed, providers, pricing });
  const revive = createReviveSession(store, records, sessionRecords);
  const { jobs, reader, batches, manyJobs } = openJobs({
    ...{ records, batchRecords, queue, waits, store, copier, providers, nodeId, newId, failpoint },
    resolverFor,
    placeSession: createSessionPlacement({ store, copier, records, sessionRecords, revive }),
    admit: upkeepLoop.admit,
    callers,
    hasRoom: executor.hasRoom,
    readAhead: (request) => (remote === null ? readAhead(request, prepare) : undefined),
    closedGates,
  });
  await life.start('keys of JWTs', jwts);
  const { events, sessionFeed, changes, batchFeed } = openFeeds({
    ...{ records, sessionRecords, changeLog, store, doorbells, names },
    keepMs: settings.keepInRedisMs,
    readJob: (id) => jobs.get(ADMIN_PRINCIPAL, id),
    snapshot: (id) => terminals.ask(ADMIN_PRINCIPAL, id, { kind: 'snapshot' }),
    findBatch: reader.find,
    logger: component('streaming'),
  });
  const audit = createAudit({ log: auditLog, store, copier, logger: component('audit') });
  const processes = () => [...executor.processes(), ...terminalHost.processes()];
  const {
    sessions,
    terminals,
    approvals: decisions,
  } = openSessions({
    ...{ jobs, records, sessionRecords, approvals, queue, waits, store, copier, providers, resolverFor },
    ...{ steering: messages, feed: sessionFeed, revive, newId, nodeId, callers, note: audit.note },
    ...{ processes, terminalHost, asks: nodeAsks, runsHere: remote === null },
    prepareTerminal: createTerminalPreparer({
      ...prepare,
      ...{ settings: allowed, env, newExecutionId: () => newId().id },
    }),
    endIdle: (id) => executor.endIdle(({ sessionId }) => sessionId === id, false),
    maxSessions: settings.maxSessions,
  });
  const { health, metrics } = openStatus({
    ...{ redis: redis.commands, redisProblem: server.problem, upkeep, store, executor, launcher, workers },
    ...{ terminalLauncher, terminalHost, remote },
    measures: [...measures.all, ...(remote?.measures ?? [])],
    ...{ damage, redactor, credentials, providers, closedGates },
    clis: remote?.clis ?? (async () => createCliReports(prepare)),
  });
  life.onStop('metrics', () => metrics.stop());
  await life.start('job waits', waits);
  const logins = await createLoginSessions({
    secret: loginSecret(adminToken, nodeId, settings),
    ended: createEndedLogins(store),
  });
  const http = await createHttpServer({
    settings: { ...DEFAULT_HTTP_SETTINGS, bodyLimitBytes: settings.bodyLimitBytes },
    place: settings,
    ...{ jobs, manyJobs, batches, batchFeed, events, changes, health },
    ...{ sessions, sessionFeed, terminals, approvals: decisions },
    live: settings,
    processes: createProcessService({
      ...{ executor, jobs, sessions, processes, providers, note: audit.note },
    }),
    holds: createHolds({ gates, providers, keys, jobs }),
    usage: async (principal, query) => {
      await copier.catchUp();
      return store.run('usage.report', { ...query, project: projectOf(principal) });
    },
    callers,
    ...{ audit, preferences, settingsInForce: settingsInForce(settings, env, process.cwd()) },
    measures,
    auth: createAuthenticator({
      ...{ adminToken, keys, jwts, jobTokens, logins },
      guesses: createGuesses({ onRefused: measures.refusedGuess }),
    }),
    ...{ logins, keys, redactor, version, page: builtPage(), board: [queue.queue] },
    logger: component('http'),
  });
  const place = { ...settings, hostVariable: 'BULLPEN_HOST', portVariable: 'BULLPEN_PORT' };
  const url = await life.start('http', { start: () => listen(http, place), stop: () => http.close() });
  address.resolve(url);

  return {
    url,
    redisPort: server.port,
    tokenFile: join(settings.home, 'token'),
    recovery,
    async stop() {
      http.refuseNewRequests();
      await workers.pause();
      await executor.stop(settings.drainMs);
      // The log of changes says how the last jobs ended.
      const caughtUp = copier.catchUp().catch(() => undefined);
      await within(LAST_CATCH_UP_MS, caughtUp);
      await life.stop();
    },
    hurry: executor.abort,
  };
}
