import { pino } from 'pino';
import { type Authenticator, createAuthenticator } from '../../../src/auth/keyring.ts';
import type { Principal } from '../../../src/auth/principal.ts';
import { createChangeFeed } from '../../../src/events/change-feed.ts';
import type { BatchFeed } from '../../../src/http/ports.ts';
import {
  createHttpServer,
  DEFAULT_HTTP_SETTINGS,
  type HttpPlace,
  type HttpServerOptions,
  type HttpSettings,
} from '../../../src/http/server.ts';
import { createProcessService } from '../../../src/jobs/processes.ts';
import { createHolds } from '../../../src/limits/holds.ts';
import type { BatchEvent } from '../../../src/protocol/change.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { createRedactor } from '../../../src/redactor.ts';
import { FakeBatches } from '../../fakes/batches.ts';
import { FakeChangeLog, LOG_CHANNEL } from '../../fakes/change-log.ts';
import { FakeEventHub } from '../../fakes/event-hub.ts';
import { FakeGates } from '../../fakes/gates.ts';
import { FakeHealth } from '../../fakes/health.ts';
import { FakeJobs } from '../../fakes/jobs.ts';
import { FakeManyJobs } from '../../fakes/many-jobs.ts';
import { callerOf } from '../../fakes/principals.ts';
import { FakeProcesses } from '../../fakes/processes.ts';
import { FakeUsage } from '../../fakes/usage.ts';
import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

export const ADMIN_TOKEN = `bp_${'a'.repeat(43)}`;
export const CALLER_TOKEN = `bp_${'b'.repeat(43)}`;
export const asAdmin = { authorization: `Bearer ${ADMIN_TOKEN}` };
export const asCaller = { authorization: `Bearer ${CALLER_TOKEN}` };

/** The real authenticator, which also knows one caller who is no admin. */
function withCaller(): Authenticator {
  const admin = createAuthenticator({ adminToken: ADMIN_TOKEN });
  const caller: Principal = callerOf('caller');
  return {
    authenticate: (header) => (header === asCaller.authorization ? caller : admin.authenticate(header)),
    authenticateToken: (token) => (token === CALLER_TOKEN ? caller : admin.authenticateToken(token)),
  };
}

export interface Changes {
  readonly settings?: Partial<HttpSettings>;
  readonly place?: Partial<HttpPlace>;
  readonly board?: HttpServerOptions['board'];
}

/** The server over fakes, with its log lines; closed by `await using`. */
export async function startHttp({ settings = {}, place = {}, board = [] }: Changes = {}) {
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
  const changeLog = new FakeChangeLog();
  const health = new FakeHealth();
  const processes = new FakeProcesses();
  const gates = new FakeGates();
  const providers = createProviders(providerSettings(), PROVIDER_HOST);
  const usage = new FakeUsage();
  const log: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
  const app = await createHttpServer({
    settings: { ...DEFAULT_HTTP_SETTINGS, ...settings },
    place: { host: '127.0.0.1', publicUrl: null, trustProxy: [], ...place },
    jobs,
    manyJobs,
    batches,
    batchFeed,
    events,
    changes: createChangeFeed({
      log: changeLog,
      doorbells: changeLog.doorbells,
      channel: LOG_CHANNEL,
      keepMs: Number.POSITIVE_INFINITY,
      logger,
    }),
    health,
    processes: createProcessService({ executor: processes, jobs, providers }),
    holds: createHolds({ gates, providers }),
    usage: usage.read,
    auth: withCaller(),
    board,
    redactor: createRedactor(),
    logger,
    version: '1.2.3',
  });
  return {
    app,
    jobs,
    batchEvents,
    manyJobs,
    batches,
    events,
    changeLog,
    health,
    processes,
    gates,
    usage,
    log,
    /** Listens on a free port of loopback. */
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    /** Makes a job as the caller. */
    make: async (prompt = 'Hello') => {
      const { job } = await jobs.create(callerOf('caller'), { prompt }, null);
      return job;
    },
    [Symbol.asyncDispose]: () => app.close(),
  };
}
