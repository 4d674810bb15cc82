/** The records over a real Redis, for tests; one server per test file. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { ulid } from 'ulid';
import type { KeyRecords } from '../../src/auth/ports.ts';
import type { Signer } from '../../src/auth/signer.ts';
import { createLogger } from '../../src/logger.ts';
import type {
  ApprovalCopies,
  Approvals,
  RunningApprovals,
  SteerMessages,
} from '../../src/records/approval-ports.ts';
import { createApprovalRecords, createSteerMessages } from '../../src/records/approval-records.ts';
import type { BatchRecords } from '../../src/records/batch-ports.ts';
import { createBatchRecords } from '../../src/records/batch-records.ts';
import { type ChangeLog, createChangeLog } from '../../src/records/change-log.ts';
import { createClaims } from '../../src/records/claims.ts';
import { createGates, type Gates } from '../../src/records/gate-records.ts';
import { createJobRecords } from '../../src/records/job-records.ts';
import { createKeyRecords } from '../../src/records/key-records.ts';
import { createRequestCounts, type RequestCounts } from '../../src/records/limit-records.ts';
import { createNodeAsks } from '../../src/records/node-asks.ts';
import type { Claim, Claims, JobRecords } from '../../src/records/ports.ts';
import { createScriptRunner } from '../../src/records/script-runner.ts';
import type { NodeAsks, SessionRecords, TerminalRecords } from '../../src/records/session-ports.ts';
import { createSessionRecords } from '../../src/records/session-records.ts';
import { createSubmissions, type Submissions } from '../../src/records/submissions.ts';
import { createTerminalRecords } from '../../src/records/terminal-records.ts';
import { createUpkeep } from '../../src/records/upkeep.ts';
import type { Upkeep } from '../../src/records/upkeep-ports.ts';
import { closeConnection, openConnection, untilReady } from '../../src/redis/connection.ts';
import { createRedisDoorbells, type Doorbells } from '../../src/redis/doorbells.ts';
import { createNames } from '../../src/redis/names.ts';
import { startTestRedis } from './redis.ts';
import { sharedFromStart, whenOver } from './shared.ts';

/** How long claims hold, raw leadership lasts, lost jobs wait and finished ones are kept. */
export const LEASE_MS = 60_000;
export const LEADER_MS = 140_000;
export const LOST_BACKOFF_MS = 260_000;
export const KEEP_MS = 3_600_000;
const CHANNELS = { requestChannel: 'requests', responseChannel: 'responses' };
/** Limits of the settings, by projects that only tests of limits use. */
export const CALLER_LIMITS = {
  projects: {
    ...{ busy: { requestsPerMinute: 3 }, hourly: { jobsPerHour: 3 }, short: { maxQueued: 2 } },
    ...{ single: { maxRunning: 1 }, poor: { usdPerDay: 1 }, capped: { maxRunning: 1, maxQueued: 3 } },
  },
  jwt: { jobsPerHour: 2 },
};

/** The records of one test, under a prefix of their own. */
export interface TestRecords {
  readonly records: JobRecords;
  readonly approvals: Approvals & RunningApprovals & ApprovalCopies;
  readonly messages: SteerMessages;
  readonly batches: BatchRecords;
  readonly sessions: SessionRecords;
  readonly changeLog: ChangeLog;
  readonly logDoorbell: string;
  readonly submissions: Submissions;
  readonly gates: Gates;
  readonly keyRecords: KeyRecords;
  readonly keysDoorbell: string;
  readonly requestCounts: RequestCounts;
  readonly doorbells: Doorbells;
  /** Every key begins with it; the hash tag. */
  readonly prefix: string;
  /**
   * The channels are those of the whole file: their names are in the scripts, and Redis would
   * compile each script again for each other name.
   */
  readonly requestChannel: string;
  readonly responseChannel: string;
  claimsOf(node: string, roots?: readonly string[]): Claims;
  /** Submits jobs as workers would, under the execution ids of their last submits, if any. */
  deliver(ids: readonly string[]): Promise<void>;
  /** Claims for a node, after what it is given was delivered. */
  claim(
    node: string,
    max: number,
    room?: Readonly<Record<string, number>>,
    roots?: readonly string[],
  ): Promise<readonly Claim[]>;
  upkeepOf(node: string): Upkeep;
  terminalsOf(node: string): TerminalRecords;
  /** Its questions wait for a second; it looks without a doorbell ten times a second. */
  asksOf(node: string, signer?: Signer | null, bells?: Doorbells, pollMs?: number): NodeAsks;
  /** The key of the questions to a node. */
  asksKey(node: string): string;
  liveChannel(jobId: string): string;
  liveSession(sessionId: string): string;
  /** Lets time pass, as far as the records are concerned. */
  advance(ms: number): Promise<void>;
  /** Makes sure that what comes next is later than what was before, if only by a millisecond. */
  tick(): Promise<void>;
  /** The records' own clock. */
  now(): Promise<number>;
  /** Closes a gate, without an end or until a time. */
  closeGate(gate: string, until: number | null): Promise<void>;
  /** Removes a job's record, and nothing else. */
  loseRecord(id: string): Promise<void>;
  /** Changes a field of an approval, as another client of Redis can. */
  forgeApproval(id: string, field: string, value: string): Promise<void>;
  /** The fields of a job's record. */
  stored(id: string): Promise<Readonly<Record<string, string>>>;
  /** Changes a field of a job's record, as another client of Redis can. */
  forge(id: string, field: string, value: string): Promise<void>;
  /** Removes all of a session. */
  loseSession(id: string): Promise<void>;
  /** Changes a field of a session's record, as another client of Redis can. */
  forgeSession(id: string, field: string, value: string): Promise<void>;
  /** Puts a text in the place of a session's record. */
  replaceSession(id: string, text: string): Promise<void>;
  /** Removes all keys of callers, as a Redis does that has lost its data. */
  loseKeys(): Promise<void>;
  /** Replaces the record of a key by any text. */
  damageKey(id: string, text: string): Promise<void>;
  /** Replaces keys of the limits of callers by texts. */
  damageLimits(keys: readonly string[]): Promise<void>;
  /** The log of record changes: `j <id>` changed, `d <id>` deleted. */
  log(): Promise<readonly string[]>;
  /** Breaks the subscriber's connection; resolves when messages arrive again. */
  interrupt(): Promise<void>;
}

export interface TestRecordsServer {
  readonly redis: Redis;
  /** @param signer null: records are not signed */
  make(signer?: Signer | null): TestRecords;
}

/** A Redis for the tests of a file (or of a `describe`), which stops it after them. */
export function useTestRecords(): TestRecordsServer {
  const started = sharedFromStart(openTestRecords);
  return {
    get redis() {
      return started().redis;
    },
    make: (signer) => started().make(signer),
  };
}

/** Starts a Redis, which is stopped when what it is opened for is over: see `whenOver`. */
export async function openTestRecords(): Promise<TestRecordsServer> {
  const server = await startTestRedis({ fsync: 'everysec' });
  whenOver(() => server.stop());
  const logger = createLogger('fatal');
  const redis = openConnection(server.url, 'patient', 'test', logger);
  const subscriber = openConnection(server.url, 'patient', 'test-sub', logger);
  whenOver(() => {
    closeConnection(redis);
    closeConnection(subscriber);
  });
  await Promise.all([untilReady(redis, 20_000), untilReady(subscriber, 20_000)]);
  const doorbells = createRedisDoorbells(redis, subscriber, logger);

  function make(signer: Signer | null = null): TestRecords {
    const names = createNames({ prefix: `t-${randomUUID()}`, ...CHANNELS });
    const scripts = createScriptRunner(redis, names.prefix, {
      ...{ ...CHANNELS, keepFinishedMs: KEEP_MS, callerLimits: CALLER_LIMITS },
    });
    const executionIds = new Map<string, string>();
    const real = createSubmissions(scripts);
    const submissions: Submissions = {
      submit(jobId, executionId) {
        executionIds.set(jobId, executionId);
        return real.submit(jobId, executionId);
      },
    };
    const claimsOf = (node: string, roots?: readonly string[]): Claims =>
      createClaims(
        scripts,
        node,
        { leaseMs: LEASE_MS, leaderMs: LEADER_MS },
        roots === undefined ? null : () => roots,
        () => undefined,
        signer,
      );
    async function deliver(ids: readonly string[]): Promise<void> {
      for (const id of ids) await submissions.submit(id, executionIds.get(id) ?? ulid());
    }
    const records = createJobRecords(redis, names, scripts, () => undefined, signer);
    return {
      ...CHANNELS,
      prefix: names.prefix,
      changeLog: createChangeLog(redis, names),
      logDoorbell: names.logDoorbell,
      records,
      sessions: createSessionRecords(redis, names, scripts, records, () => undefined, signer),
      approvals: createApprovalRecords(redis, names, scripts, () => undefined, signer),
      messages: createSteerMessages(redis, names, scripts),
      batches: createBatchRecords(scripts, () => undefined, signer),
      submissions,
      gates: createGates(redis, names, scripts),
      keyRecords: createKeyRecords(redis, names, scripts, () => undefined),
      keysDoorbell: names.keysDoorbell,
      requestCounts: createRequestCounts(scripts),
      doorbells,
      claimsOf,
      deliver,
      async claim(node, max, room = {}, roots = undefined) {
        const claims = claimsOf(node, roots);
        const { claims: first, given } = await claims.claim(max, room);
        if (given.length === 0 || first.length >= max) return first;
        await deliver(given);
        const left = { ...room };
        for (const { request } of first)
          if (left[request.provider] !== undefined)
            left[request.provider] = (left[request.provider] ?? 0) - 1;
        return [...first, ...(await claims.claim(max - first.length, left)).claims];
      },
      upkeepOf: (node) => createUpkeep(scripts, node, LOST_BACKOFF_MS),
      terminalsOf: (node) => createTerminalRecords(redis, names, scripts, node),
      asksOf: (node, own = signer, bells = doorbells, pollMs = 100) =>
        createNodeAsks({
          ...{ redis, names, scripts, doorbells: bells, node, signer: own, logger },
          ...{ timeoutMs: 1000, pollMs },
        }),
      asksKey: names.asks,
      liveChannel: names.live,
      liveSession: names.liveSession,
      async advance(ms) {
        await redis.eval(SHIFT, 1, names.prefix, ms);
      },
      async tick() {
        await redis.eval(SHIFT_SETS, 1, names.prefix, 1);
      },
      async now() {
        const [seconds, micros] = await redis.time();
        return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
      },
      async closeGate(gate, until) {
        await redis.hset(`${names.prefix}:gates`, gate, JSON.stringify({ reason: 'paused', until }));
      },
      async loseRecord(id) {
        await redis.del(names.job(id));
      },
      stored: (id) => redis.hgetall(names.job(id)),
      async forge(id, field, value) {
        await redis.hset(names.job(id), field, value);
      },
      async loseSession(id) {
        await redis.del(names.session(id), names.sessionEvents(id), `${names.session(id)}:open`);
      },
      async forgeSession(id, field, value) {
        await redis.hset(names.session(id), field, value);
      },
      async replaceSession(id, text) {
        await redis.set(names.session(id), text);
      },
      async forgeApproval(id, field, value) {
        await redis.hset(names.approval(id), field, value);
      },
      async loseKeys() {
        await redis.del(names.keys, names.keysVersion, names.keysUsed);
      },
      async damageKey(id, text) {
        await redis.multi().hset(names.keys, id, text).set(names.keysVersion, randomUUID()).exec();
      },
      async damageLimits(keys) {
        for (const key of keys) await redis.set(`${names.prefix}:${key}`, 'no hash');
      },
      async log() {
        const entries = await redis.xrange(names.log, '-', '+');
        return entries.map(([, [kind, id]]) => `${kind} ${id}`);
      },
      async interrupt() {
        const resumed = Promise.withResolvers<void>();
        const forget = doorbells.onResumed(resumed.resolve);
        await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await resumed.promise;
        forget();
      },
    };
  }

  return { redis, make };
}

/**
 * Redis takes the time from its host. So every moment that the records hold is moved, not the
 * clock.
 */
const SHIFT_SETS = `
for _, set in ipairs({ 'due', 'parked', 'released', 'expiries', 'running', 'nodes', 'pinned', 'approvals' }) do
  local key = KEYS[1] .. ':' .. set
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ARGV[1], member) end
end
`;
const SHIFT = `
${SHIFT_SETS}
for _, node in ipairs(redis.call('HKEYS', KEYS[1] .. ':slots')) do
  local slots = cjson.decode(redis.call('HGET', KEYS[1] .. ':slots', node))
  slots.at = slots.at - ARGV[1]
  redis.call('HSET', KEYS[1] .. ':slots', node, cjson.encode(slots))
end
local gates = KEYS[1] .. ':gates'
for _, name in ipairs(redis.call('HKEYS', gates)) do
  local gate = cjson.decode(redis.call('HGET', gates, name))
  for _, field in ipairs({ 'since', 'until', 'probeUntil' }) do
    if gate[field] then gate[field] = gate[field] - ARGV[1] end
  end
  redis.call('HSET', gates, name, cjson.encode(gate))
  redis.call('HINCRBY', gates .. ':opened', name, -ARGV[1])
end
for _, key in ipairs(redis.call('KEYS', KEYS[1] .. ':*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
  if string.find(key, ':rate:', 1, true) then
    local parts = redis.call('HGETALL', key)
    for i = 1, #parts, 2 do redis.call('HDEL', key, parts[i]) end
    for i = 1, #parts, 2 do redis.call('HSET', key, parts[i] - ARGV[1], parts[i + 1]) end
    if left > ARGV[1] + 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
  end
  local day = string.match(key, ':spent:(%d+)$')
  if day then redis.call('RENAME', key, KEYS[1] .. ':spent:' .. (day - math.floor(ARGV[1] / 86400000))) end
  if string.find(key, ':approval:', 1, true) and redis.call('TYPE', key).ok == 'hash' then
    redis.call('HINCRBY', key, 'expiresAt', -ARGV[1])
  end
  if string.find(key, ':session:%w+$') and redis.call('TYPE', key).ok == 'hash' then
    local at = redis.call('HGET', key, 'lastActivityAt')
    if at then redis.call('HSET', key, 'lastActivityAt', string.format('%.0f', at - ARGV[1])) end
  end
  if string.find(key, ':job:', 1, true) and redis.call('EXISTS', key) == 1 then
    for _, field in ipairs({ 'scheduledFor', 'deadline', 'quotaUntil' }) do
      local at = redis.call('HGET', key, field)
      if at and at ~= '' then redis.call('HSET', key, field, at - ARGV[1]) end
    end
  end
end
`;
