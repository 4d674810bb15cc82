/**
 * Every setting of the server: its variable, type, default and meaning. Units are in the names. The
 * loader, `.env.example` and docs/settings.md are all made from this table.
 */

import { type Static, Type } from '#typebox';
import { callerSettings } from '../protocol/grant.ts';
import { ProcessLimits, ProviderSettings } from '../protocol/provider-settings.ts';
import { MODEL_PATTERN, nullable } from '../protocol/schema.ts';
import { TerminalSettings } from '../protocol/terminal-settings.ts';
import { Prices } from '../protocol/usage.ts';
import { EXECUTION_LIMITS } from './execution-limits.ts';
import { EXECUTOR_SETTINGS } from './executor-settings.ts';
import { SESSION_SETTINGS } from './session-settings.ts';
import {
  age,
  count,
  DAY,
  flag,
  HOUR,
  limit,
  list,
  MINUTE,
  ORIGIN,
  optional,
  optionalCount,
  SECOND,
  span,
  text,
} from './setting-kinds.ts';

const CHANNEL = { pattern: '^[A-Za-z0-9:._-]{1,128}$' };
const REDIS_URL = { pattern: '^rediss?://' };
/** An absolute path or an address. */
const KEYS_PLACE = { pattern: '^(/|https?://)' };

export const SETTINGS = {
  home: text('BULLPEN_HOME', 'The data folder, with the ledger, the token and the private Redis.', {
    defaultText: '~/.local/state/bullpen',
  }),
  databasePath: {
    ...optional(
      'BULLPEN_DATABASE_PATH',
      'ledger.db in BULLPEN_HOME',
      'The file of the ledger, outside the roots where jobs run.',
    ),
    formerEnv: 'DATABASE_PATH',
  },
  cacheDir: text('BULLPEN_CACHE', 'The folder where a fetched redis-server is kept.', {
    defaultText: '~/.cache/bullpen',
  }),
  host: text('BULLPEN_HOST', 'The address to listen on.', {
    default: '127.0.0.1',
    minLength: 1,
    formerEnv: 'HOST',
  }),
  port: Type.Integer({
    env: 'BULLPEN_PORT',
    formerEnv: 'PORT',
    default: 3000,
    minimum: 0,
    maximum: 65_535,
    description: 'The port to listen on. With 0, the system chooses a free one.',
  }),
  publicUrl: optional(
    'BULLPEN_PUBLIC_URL',
    'none',
    'The address that callers of other machines use, for example https://bullpen.example.org. It has no path.',
    ORIGIN,
  ),
  allowPlainHttp: flag(
    'BULLPEN_ALLOW_PLAIN_HTTP',
    'Whether other machines may send tokens without TLS, and the server and its executor prompts and answers.',
  ),
  trustProxy: list(
    'BULLPEN_TRUST_PROXY',
    'none',
    'The addresses and networks of reverse proxies whose X-Forwarded-For is believed, for example 10.0.0.0/8.',
  ),
  jwtSecret: optional(
    'JWT_SECRET',
    'no JWTs with a secret',
    'The secret of JWTs that are signed with HS256: 32 or more bytes.',
  ),
  jwtKeys: optional(
    'BULLPEN_JWT_KEYS',
    'no JWTs with a public key',
    'The public key of JWTs that are signed with RS256, ES256 or EdDSA: the path of a PEM or JWKS file, or the https:// address of a JWKS.',
    KEYS_PLACE,
  ),
  jwtIssuer: optional('BULLPEN_JWT_ISSUER', 'any', 'The `iss` that a JWT must have.'),
  jwtAudience: optional(
    'BULLPEN_JWT_AUDIENCE',
    'any',
    'The `aud` that a JWT must have. BULLPEN_JWT_KEYS needs it.',
  ),
  jwtProjectClaim: text('BULLPEN_JWT_PROJECT_CLAIM', "The claim of a JWT that names the caller's project.", {
    default: 'project',
    minLength: 1,
  }),
  jwtMaxLifeMs: span(
    'BULLPEN_JWT_MAX_LIFE_MS',
    DAY,
    'The longest time between `iat` and `exp` of a JWT.',
    SECOND,
    366 * DAY,
  ),
  signingSecret: nullable(Type.String({ minLength: 1 }), {
    env: 'BULLPEN_SIGNING_SECRET',
    formerEnv: 'HMAC_SECRET',
    defaultText: 'records are not signed',
    default: null,
    description:
      'The secret with which jobs and keys in Redis are signed, the same on all servers of the Redis: 32 or more bytes.',
  }),
  redisUrl: optional(
    'REDIS_URL',
    'none',
    'The Redis to use. Without it, Bullpen starts a private Redis in its data folder.',
    REDIS_URL,
  ),
  workerRedisUrl: optional(
    'BULLPEN_WORKER_REDIS_URL',
    'as REDIS_URL',
    'The same Redis for the sandboxed workers, with a user of their own.',
    REDIS_URL,
  ),
  allowInsecureRedis: flag(
    'BULLPEN_ALLOW_INSECURE_REDIS',
    'Whether a Redis on another machine may have no password or no TLS.',
  ),
  logLevel: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
    env: 'BULLPEN_LOG_LEVEL',
    default: 'info',
    description: 'The lowest level that is logged.',
  }),

  prefix: text('BULLPEN_PREFIX', 'The prefix of every Redis key.', {
    default: 'bullpen',
    pattern: '^[A-Za-z0-9._-]{1,64}$',
  }),
  requestChannel: text('BULLPEN_REQUEST_CHANNEL', 'The pub/sub channel of requests.', {
    default: 'claude:cli:requests',
    ...CHANNEL,
  }),
  responseChannel: text('BULLPEN_RESPONSE_CHANNEL', 'The pub/sub channel of responses.', {
    default: 'claude:cli:responses',
    ...CHANNEL,
  }),
  rawRequests: Type.Enum(['auto', 'on', 'off'], {
    env: 'BULLPEN_RAW_REQUESTS',
    default: 'auto',
    description: 'Whether to answer `redis-cli PUBLISH` requests. With auto, only on the private Redis.',
  }),

  concurrency: count(
    'BULLPEN_CONCURRENCY',
    5,
    'How many executions run at the same time on this server.',
    1,
    1000,
  ),
  workers: optionalCount(
    'BULLPEN_WORKERS',
    'concurrency + 2',
    'The maximum number of sandboxed worker processes; two run at rest. The two beyond concurrency deliver the next jobs ahead.',
    { minimum: 1, maximum: 2000 },
  ),
  warmProcesses: optionalCount(
    'BULLPEN_WARM_PROCESSES',
    'as BULLPEN_CONCURRENCY',
    'The maximum number of CLI processes that wait for a prompt, and of those that wait for the next prompt of their session. Together they use at most a quarter of the free memory. With 0, no process waits.',
    { minimum: 0, maximum: 1000 },
  ),
  warmIdleMs: span('BULLPEN_WARM_IDLE_MS', 5 * MINUTE, 'How long a started CLI process waits for a prompt.'),
  ...SESSION_SETTINGS,
  maxQueued: count(
    'BULLPEN_MAX_QUEUED',
    1_000_000,
    'The maximum number of waiting jobs. Further jobs are refused with 503.',
  ),

  jwtJobsPerHour: limit(
    'BULLPEN_JWT_JOBS_PER_HOUR',
    10,
    'How many jobs a principal with a JWT may make an hour. null, in the file, is any number.',
  ),

  ...EXECUTOR_SETTINGS,

  provider: text('BULLPEN_PROVIDER', 'The provider of a job that names none.', { default: 'claude' }),
  model: optional('BULLPEN_MODEL', 'the CLI decides', 'The model of a job that names none.', {
    pattern: `^${MODEL_PATTERN}$`,
  }),
  cwd: text('BULLPEN_CWD', 'The working directory of a job that names none.', {
    defaultText: 'where the server was started',
  }),
  roots: list('BULLPEN_ROOTS', 'as BULLPEN_CWD', 'The directories inside which jobs may run.'),
  trustedRoots: list(
    'BULLPEN_TRUSTED_ROOTS',
    'none',
    'The directories whose own CLI settings, hooks and MCP files are used.',
  ),
  passEnv: list(
    'BULLPEN_PASS_ENV',
    'none',
    'The names of further variables that every CLI gets, beside those of its provider.',
  ),
  allowFullAccess: flag('BULLPEN_ALLOW_FULL_ACCESS', 'Whether jobs may use the permissionMode fullAccess.'),
  jobTokens: flag(
    'BULLPEN_JOB_TOKENS',
    'Whether the CLI of a job gets a token to call this server. Then each job starts its CLI itself.',
  ),
  timeoutMs: span('BULLPEN_TIMEOUT_MS', HOUR, 'The run time of a job that sets none.'),
  idleTimeoutMs: span(
    'BULLPEN_IDLE_TIMEOUT_MS',
    15 * MINUTE,
    'How long a job that sets no limit may run without output.',
  ),
  maxTimeoutMs: span('BULLPEN_MAX_TIMEOUT_MS', DAY, 'The longest run time that a job may ask for.'),

  ...EXECUTION_LIMITS,
  killGraceMs: span(
    'BULLPEN_KILL_GRACE_MS',
    5 * SECOND,
    'The time between asking a CLI to exit and killing it.',
  ),
  lingerMs: span('BULLPEN_LINGER_MS', 10 * SECOND, 'How long a CLI may keep running after its final answer.'),
  drainMs: span(
    'BULLPEN_DRAIN_MS',
    30 * SECOND,
    'How long running jobs may take to finish when the server stops.',
    0,
  ),
  retryBackoffMs: span(
    'BULLPEN_RETRY_BACKOFF_MS',
    5 * SECOND,
    'The pause before the second attempt. It doubles with each further attempt.',
  ),
  authCircuitMs: span(
    'BULLPEN_AUTH_CIRCUIT_MS',
    MINUTE,
    'How long jobs fail at once after a login was refused. It doubles with each refusal in a row, up to 10 minutes.',
    1,
    10 * MINUTE,
  ),

  leaseMs: span('BULLPEN_LEASE_MS', 15 * SECOND, 'How long a claim lasts when it is not renewed.', 300),
  nodeLostAfterMs: span(
    'BULLPEN_NODE_LOST_AFTER_MS',
    2 * MINUTE,
    'How long a server may be silent before other servers end its jobs. At least twice BULLPEN_LEASE_MS.',
    300,
  ),
  sweepMs: span(
    'BULLPEN_SWEEP_MS',
    SECOND,
    'The time between two checks for work whose pub/sub message was lost.',
    50,
  ),
  lockMs: span('BULLPEN_LOCK_MS', MINUTE, "How long BullMQ's lock on a delivered job lasts.", SECOND),

  keepJobsMs: age('BULLPEN_KEEP_JOBS_MS', 30 * DAY, 'How long finished jobs are kept.'),
  keepEventsMs: age('BULLPEN_KEEP_EVENTS_MS', 7 * DAY, 'How long the events of finished jobs are kept.'),
  keepUsageMs: age(
    'BULLPEN_KEEP_USAGE_MS',
    400 * DAY,
    'How long the tokens and costs of executions are kept.',
  ),
  keepAuditMs: age('BULLPEN_KEEP_AUDIT_MS', 400 * DAY, 'How long entries of the audit are kept.'),
  keepInRedisMs: age('BULLPEN_KEEP_IN_REDIS_MS', DAY, 'How long finished jobs stay in Redis.', SECOND),
  bodyLimitBytes: count(
    'BULLPEN_BODY_LIMIT_BYTES',
    2 * 1024 * 1024,
    'The maximum size of an HTTP request body.',
    1024,
  ),
} as const;

/** Settings that only the file can hold, because they are too rich for a variable. */
export const FILE_SETTINGS = {
  providers: ProviderSettings,
  prices: Prices,
  processLimits: ProcessLimits,
  terminals: TerminalSettings,
  ...callerSettings,
} as const;

export const Settings = Type.Object({ ...SETTINGS, ...FILE_SETTINGS });
export type Settings = Static<typeof Settings>;

/** The settings that Redis keys and channels are named by. */
export type ChannelSettings = Pick<Settings, 'prefix' | 'requestChannel' | 'responseChannel'>;
