/**
 * Every setting: its type, default, unit (in the name), the variable that sets it, and what it does. The
 * loader, `.env.example` and docs/operations.md are all made from this one table.
 */

import { type Static, Type } from 'typebox';
import { ProviderSettings } from '../protocol/provider-settings.ts';
import { MODEL_PATTERN, nullable } from '../protocol/schema.ts';
import { Prices } from '../protocol/usage.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const text = (env: string, description: string, rest = {}) => Type.String({ env, description, ...rest });
const optional = (env: string, description: string, rest = {}) =>
  nullable(Type.String({ minLength: 1, ...rest }), { env, description, default: null });
const count = (env: string, initial: number, description: string, minimum = 1, maximum = 1e9) =>
  Type.Integer({ env, default: initial, minimum, maximum, description });
/** At most what a request may ask for, and well below what Node's timers can count (24.8 days). */
const span = (env: string, initial: number, description: string, minimum = 1, maximum = DAY) =>
  Type.Integer({ env, default: initial, minimum, maximum, description: `${description} (ms)` });
const age = (env: string, initial: number, description: string, minimum = 1) =>
  span(env, initial, description, minimum, 3660 * DAY);
/** A limit that may be missing. */
const atMost = (env: string, description: string, initial: number | null = null) =>
  nullable(Type.Integer({ minimum: 1 }), {
    env,
    default: initial,
    description: initial === null ? `${description}. Default: no limit` : description,
  });
const flag = (env: string, description: string) => Type.Boolean({ env, default: false, description });
const list = (env: string, description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { env, default: [], description });

const CHANNEL = { pattern: '^[A-Za-z0-9:._-]{1,128}$' };

export const SETTINGS = {
  home: text('BULLPEN_HOME', 'data folder: ledger, token, private Redis. Default: ~/.local/state/bullpen'),
  cacheDir: text('BULLPEN_CACHE', 'where a fetched redis-server is kept. Default: ~/.cache/bullpen'),
  host: text('HOST', 'address to listen on', { default: '127.0.0.1', minLength: 1 }),
  port: count('PORT', 3000, 'port to listen on; 0 takes a free one', 0, 65_535),
  redisUrl: optional('REDIS_URL', 'Redis to use; unset: Bullpen starts a private one in its data folder', {
    pattern: '^rediss?://',
  }),
  workerRedisUrl: optional(
    'BULLPEN_WORKER_REDIS_URL',
    'the same Redis for the sandboxed workers, with a user of their own. Default: as REDIS_URL',
    { pattern: '^rediss?://' },
  ),
  logLevel: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
    env: 'BULLPEN_LOG_LEVEL',
    default: 'info',
    description: 'least level that is logged',
  }),

  prefix: text('BULLPEN_PREFIX', 'prefix of every Redis key', {
    default: 'bullpen',
    pattern: '^[A-Za-z0-9._-]{1,64}$',
  }),
  requestChannel: text('BULLPEN_REQUEST_CHANNEL', 'pub/sub channel of requests', {
    default: 'claude:cli:requests',
    ...CHANNEL,
  }),
  responseChannel: text('BULLPEN_RESPONSE_CHANNEL', 'pub/sub channel of responses', {
    default: 'claude:cli:responses',
    ...CHANNEL,
  }),
  rawRequests: Type.Enum(['auto', 'on', 'off'], {
    env: 'BULLPEN_RAW_REQUESTS',
    default: 'auto',
    description: 'answer `redis-cli PUBLISH` requests; auto: with the private Redis only',
  }),

  concurrency: count('BULLPEN_CONCURRENCY', 5, 'executions at once on this server', 1, 1000),
  workers: nullable(Type.Integer({ minimum: 1, maximum: 2000 }), {
    env: 'BULLPEN_WORKERS',
    default: null,
    description: 'sandboxed worker processes at the most. Default: concurrency + 2, to see what comes next',
  }),
  warmProcesses: nullable(Type.Integer({ minimum: 0, maximum: 1000 }), {
    env: 'BULLPEN_WARM_PROCESSES',
    default: null,
    description:
      'CLI processes at the most that have been started and wait for a prompt, and as many that wait for the next prompt of their session; 0: none. Default: concurrency. Together they never take more than a quarter of the free memory',
  }),
  warmIdleMs: span(
    'BULLPEN_WARM_IDLE_MS',
    300_000,
    'how long a process waits for a prompt before it is ended',
  ),
  sessionIdleMs: span(
    'BULLPEN_SESSION_IDLE_MS',
    120_000,
    'how long the process of a job that went on with a session waits for the next one of that session; 0: not at all',
    0,
  ),
  maxQueued: count('BULLPEN_MAX_QUEUED', 1_000_000, 'jobs waiting at the most; more are refused with 503'),

  provider: text('BULLPEN_PROVIDER', 'provider of a job that names none', { default: 'claude' }),
  model: optional('BULLPEN_MODEL', 'model of a job that names none; unset: the CLI decides', {
    pattern: `^${MODEL_PATTERN}$`,
  }),
  cwd: text(
    'BULLPEN_CWD',
    'working directory of a job that names none. Default: where the server was started',
  ),
  roots: list('BULLPEN_ROOTS', 'directories inside which a job may run (comma-separated). Default: cwd'),
  trustedRoots: list(
    'BULLPEN_TRUSTED_ROOTS',
    'directories whose own CLI settings, hooks and MCP files may run (comma-separated). Default: none',
  ),
  passEnv: list(
    'BULLPEN_PASS_ENV',
    "more variables the CLI may see, beside each provider's own (comma-separated)",
  ),
  allowFullAccess: flag('BULLPEN_ALLOW_FULL_ACCESS', 'allow permissionMode fullAccess'),
  timeoutMs: span('BULLPEN_TIMEOUT_MS', HOUR, 'run time of a job that names none'),
  idleTimeoutMs: span('BULLPEN_IDLE_TIMEOUT_MS', 15 * MINUTE, 'silence allowed to a job that names none'),
  maxTimeoutMs: span('BULLPEN_MAX_TIMEOUT_MS', DAY, 'run time a job may ask for'),

  maxOutputBytes: count(
    'BULLPEN_MAX_OUTPUT_BYTES',
    64 * 1024 * 1024,
    'output of one execution (bytes)',
    1024,
  ),
  maxLineBytes: count(
    'BULLPEN_MAX_LINE_BYTES',
    4 * 1024 * 1024,
    'one line of output; a longer one is shortened (bytes)',
    1024,
  ),
  maxMemoryBytes: atMost(
    'BULLPEN_MAX_MEMORY_BYTES',
    'resident memory of one execution, its tools included (bytes)',
  ),
  maxCpuSeconds: atMost('BULLPEN_MAX_CPU_SECONDS', 'CPU time of one execution, its tools included (s)'),
  maxOpenFiles: atMost('BULLPEN_MAX_OPEN_FILES', 'open files of one execution, its tools included', 50_000),
  maxProcesses: atMost('BULLPEN_MAX_PROCESSES', 'processes of one execution at the same time', 2000),
  maxEvents: count('BULLPEN_MAX_EVENTS', 200_000, 'events of one execution', 100),
  maxEventsPerSecond: count(
    'BULLPEN_MAX_EVENTS_PER_SECOND',
    5000,
    'events per second before the CLI is slowed',
    10,
  ),
  maxResultBytes: count('BULLPEN_MAX_RESULT_BYTES', 1024 * 1024, 'text kept in an outcome (bytes)', 1024),
  killGraceMs: span('BULLPEN_KILL_GRACE_MS', 5 * SECOND, 'between asking a CLI to end and killing it'),
  lingerMs: span('BULLPEN_LINGER_MS', 10 * SECOND, 'a CLI may stay after its last word'),
  drainMs: span('BULLPEN_DRAIN_MS', 30 * SECOND, 'running jobs may take to end when the server stops', 0),
  retryBackoffMs: span(
    'BULLPEN_RETRY_BACKOFF_MS',
    5 * SECOND,
    'before the second attempt; doubles with each',
  ),
  authCircuitMs: span(
    'BULLPEN_AUTH_CIRCUIT_MS',
    MINUTE,
    'jobs are refused at once after a refused login; doubles with each refusal in a row, up to 10 minutes',
    1,
    10 * MINUTE,
  ),

  leaseMs: span('BULLPEN_LEASE_MS', 15 * SECOND, 'how long a claim holds without being renewed', 300),
  nodeLostAfterMs: span(
    'BULLPEN_NODE_LOST_AFTER_MS',
    2 * MINUTE,
    "silence after which others end a node's jobs",
    300,
  ),
  sweepMs: span('BULLPEN_SWEEP_MS', SECOND, 'between looks for what no message announced', 50),
  lockMs: span('BULLPEN_LOCK_MS', MINUTE, "BullMQ's lock on a taken job", SECOND),

  keepJobsMs: age('BULLPEN_KEEP_JOBS_MS', 30 * DAY, 'finished jobs are kept'),
  keepEventsMs: age('BULLPEN_KEEP_EVENTS_MS', 7 * DAY, 'their events are kept'),
  keepUsageMs: age('BULLPEN_KEEP_USAGE_MS', 400 * DAY, 'tokens and costs of executions are kept'),
  keepInRedisMs: age('BULLPEN_KEEP_IN_REDIS_MS', DAY, 'finished jobs stay in Redis', SECOND),
  bodyLimitBytes: count('BULLPEN_BODY_LIMIT_BYTES', 2 * 1024 * 1024, 'HTTP request body (bytes)', 1024),
} as const;

/** What only the file of settings holds: too rich for a variable. */
export const FILE_SETTINGS = { providers: ProviderSettings, prices: Prices } as const;

export const Settings = Type.Object({ ...SETTINGS, ...FILE_SETTINGS });
export type Settings = Static<typeof Settings>;

/** What names need. */
export type ChannelSettings = Pick<Settings, 'prefix' | 'requestChannel' | 'responseChannel'>;
