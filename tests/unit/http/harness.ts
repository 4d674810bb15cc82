import { pino } from 'pino';
import { createGuesses } from '../../../src/auth/guesses.ts';
import { createJobTokens, type TokenJob } from '../../../src/auth/job-tokens.ts';
import { createJwtVerifier, type JwtSettings } from '../../../src/auth/jwt.ts';
import {
  type Authenticator,
  type AuthenticatorOptions,
  createAuthenticator,
} from '../../../src/auth/keyring.ts';
import { createKeys, type KeysOptions } from '../../../src/auth/keys.ts';
import { createLoginSessions } from '../../../src/auth/logins.ts';
import type { Principal } from '../../../src/auth/principal.ts';
import type { Rate } from '../../../src/errors.ts';
import { createChangeFeed } from '../../../src/events/change-feed.ts';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../../../src/http/fastify.ts';
import type { BatchFeed } from '../../../src/http/ports.ts';
import { createHttpServer, type HttpPlace, type HttpServerOptions } from '../../../src/http/server.ts';
import { createIdFactory } from '../../../src/ids.ts';
import { createProcessService } from '../../../src/jobs/processes.ts';
import { createHolds } from '../../../src/limits/holds.ts';
import type { BatchEvent } from '../../../src/protocol/change.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { createMeasures } from '../../../src/status/measures.ts';
import { FakeApprovalService } from '../../fakes/approval-service.ts';
import { FakeAudit } from '../../fakes/audit.ts';
import { FakeBatches } from '../../fakes/batches.ts';
import { FakeChangeLog, LOG_CHANNEL } from '../../fakes/change-log.ts';
import { createFakeDoorbells } from '../../fakes/doorbells.ts';
import { FakeEventHub } from '../../fakes/event-hub.ts';
import { FakeGates } from '../../fakes/gates.ts';
import { FakeHealth } from '../../fakes/health.ts';
import { FakeJobs } from '../../fakes/jobs.ts';
import { NO_JWTS } from '../../fakes/jwts.ts';
import { FakeEndedLogins, FakeKeyCopies, FakeKeyRecords } from '../../fakes/keys.ts';
import { FakeManyJobs } from '../../fakes/many-jobs.ts';
import { callerOf } from '../../fakes/principals.ts';
import { FakeProcesses } from '../../fakes/processes.ts';
import { FakeSessionFeed, FakeSessions } from '../../fakes/sessions.ts';
import { FakeTerminals, LIVE_SETTINGS } from '../../fakes/terminals.ts';
import { FakeUsage } from '../../fakes/usage.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

export const ADMIN_TOKEN = `bp_${'a'.repeat(43)}`;
export const CALLER_TOKEN = `bp_${'b'.repeat(43)}`;
export const asAdmin = { authorization: `Bearer ${ADMIN_TOKEN}` };
export const asCaller = { authorization: `Bearer ${CALLER_TOKEN}` };

/** The real authenticator, which also knows one caller who is no admin. */
function withCaller(options: AuthenticatorOptions): Authenticator {
  const real = createAuthenticator(options);
  const caller: Principal = callerOf('caller');
  return {
    ...real,
    authenticate: async (header, from) =>
      header === asCaller.authorization ? caller : real.authenticate(header, from),
    authenticateToken: async (token, from) =>
      token === CALLER_TOKEN ? caller : real.authenticateToken(token, from),
  };
}

export interface Changes {
  readonly requests?: (principal: Principal) => Rate | null;
  readonly settings?: Partial<HttpSettings>;
  readonly place?: Partial<HttpPlace>;
  readonly board?: HttpServerOptions['board'];
  readonly clocks?: Pick<KeysOptions, 'now' | 'elapsed'>;
  readonly jwt?: Partial<JwtSettings>;
  readonly live?: Partial<HttpServerOptions['live']>;
  /** The folder of the built page; default: it is not built. */
  readonly page?: string;
  /** How many wrong tokens are answered at once; default: more than a test sends. */
  readonly guesses?: number;
}

/** The server over fakes, with its log lines; closed by `await using`. */
export async function startHttp(changes: Changes = {}) {
  const { settings = {}, place = {}, board = [], clocks = {}, jwt = {}, guesses = 10_000 } = changes;
  const { requests = () => null, live = {}, page = null } = changes;
  const jobs = new FakeJobs();
  const batches = new FakeBatches();
  const batchFeed: BatchFeed = {
    async *read(_principal, _id, after) {
      if (after === null) yield batchEvents;
    },
  };
  const batchEvents: BatchEvent[] = [];
  const manyJobs = new FakeManyJobs();
  const events = new FakeEventHub();
  const sessions = new FakeSessions(jobs);
  const sessionFeed = new FakeSessionFeed();
  const terminals = new FakeTerminals(sessions.held);
  const approvals = new FakeApprovalService();
  const changeLog = new FakeChangeLog();
  const health = new FakeHealth();
  const processes = new FakeProcesses();
  const gates = new FakeGates();
  const providers = createProviders(providerSettings(), PROVIDER_HOST);
  const usage = new FakeUsage();
  const audit = new FakeAudit();
  const remembered = new Map<string, Record<string, unknown>>();
  const measures = createMeasures([]);
  const log: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
  const keyRecords = new FakeKeyRecords();
  const keys = createKeys({
    ...{ records: keyRecords, copies: new FakeKeyCopies(), doorbells: createFakeDoorbells() },
    ...{ channel: 'keys', newId: createIdFactory(), signer: null, logger, ...clocks },
  });
  await keys.start();
  const running: TokenJob[] = [];
  const address = Promise.resolve('http://127.0.0.1:3000');
  const jobTokens = createJobTokens({ enabled: true, address, running: () => running, keys });
  const jwts = await createJwtVerifier({ settings: { ...NO_JWTS, ...jwt }, ...clocks, logger });
  const logins = await createLoginSessions({
    ...{ secret: Buffer.alloc(32, ADMIN_TOKEN), ended: new FakeEndedLogins(), ...clocks },
  });
  const app = await createHttpServer({
    settings: { ...DEFAULT_HTTP_SETTINGS, ...settings },
    place: { host: '127.0.0.1', publicUrl: null, trustProxy: [], ...place },
    jobs,
    manyJobs,
    batches,
    batchFeed,
    events,
    ...{ sessions, sessionFeed, approvals, terminals, live: { ...LIVE_SETTINGS, ...live } },
    changes: createChangeFeed({
      log: changeLog,
      doorbells: changeLog.doorbells,
      channel: LOG_CHANNEL,
      keepMs: Number.POSITIVE_INFINITY,
      logger,
    }),
    health,
    processes: createProcessService({
      ...{ executor: processes, processes: processes.processes, jobs, sessions, providers, note: audit.note },
    }),
    holds: createHolds({ gates, providers, keys, jobs }),
    usage: usage.read,
    callers: { takeRequest: async (principal) => requests(principal) },
    audit,
    preferences: {
      read: async ({ id }) => remembered.get(id) ?? {},
      write: async ({ id }, given) => void remembered.set(id, { ...given }),
    },
    settingsInForce: [
      { name: 'port', variable: 'BULLPEN_PORT', value: 3000, source: 'default' },
      { name: 'jwtSecret', variable: 'JWT_SECRET', value: '[redacted]', source: 'file' },
    ],
    measures,
    auth: withCaller({
      ...{ adminToken: ADMIN_TOKEN, keys, jwts, jobTokens, logins, ...clocks },
      guesses: createGuesses({ burst: guesses, ...clocks, onRefused: measures.refusedGuess }),
    }),
    logins,
    keys,
    board,
    redactor: createRedactor(),
    logger,
    version: '1.2.3',
    page,
  });
  return {
    app,
    jobs,
    batchEvents,
    manyJobs,
    batches,
    events,
    ...{ sessions, sessionFeed, approvals, terminals },
    changeLog,
    health,
    processes,
    gates,
    usage,
    audit,
    /** What was counted for a metric without labels. */
    counted: (name: string) => measures.all.find((one) => one.name === name)?.samples()[0]?.value,
    log,
    keys,
    keyRecords,
    jobTokens,
    /** Jobs whose CLI runs, as far as their tokens go. */
    running,
    /** Listens on a free port of loopback. */
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    /** Makes a job as the caller. */
    make: async (prompt = 'Hello') => {
      const { job } = await jobs.create(callerOf('caller'), { prompt }, null);
      return job;
    },
    async [Symbol.asyncDispose]() {
      await app.close();
      await keys.stop();
    },
  };
}
