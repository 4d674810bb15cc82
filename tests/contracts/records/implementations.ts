/** The two implementations under one contract. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { createLogger } from '../../../src/logger.ts';
import { createBatchRecords } from '../../../src/records/batch-records.ts';
import { createClaims } from '../../../src/records/claims.ts';
import { createJobRecords } from '../../../src/records/job-records.ts';
import { createScriptRunner } from '../../../src/records/script-runner.ts';
import { createSubmissions } from '../../../src/records/submissions.ts';
import { createUpkeep } from '../../../src/records/upkeep.ts';
import { closeConnection, openConnection, untilReady } from '../../../src/redis/connection.ts';
import { createRedisDoorbells } from '../../../src/redis/doorbells.ts';
import { createNames } from '../../../src/redis/names.ts';
import { createMemoryRpc } from '../../fakes/memory-records/memory-rpc.ts';
import { startTestRedis } from '../../helpers/redis.ts';
import { KEEP_MS, LEADER_MS, LEASE_MS, LOST_BACKOFF_MS, type RpcUnderTest } from './bench.ts';

/** Makes an implementation of its own for each test. */
export interface RpcSource {
  make(): RpcUnderTest;
  stop(): Promise<void>;
}

export async function memorySource(): Promise<RpcSource> {
  return { make: makeMemory, stop: async () => undefined };
}

function makeMemory(): RpcUnderTest {
  let nowMs = 1_790_000_000_000;
  const channels = { requestChannel: 'requests', responseChannel: 'responses' };
  const rpc = createMemoryRpc({
    ...channels,
    now: () => nowMs,
    leaseMs: LEASE_MS,
    leaderMs: LEADER_MS,
    backoffMs: LOST_BACKOFF_MS,
    keepFinishedMs: KEEP_MS,
  });
  return {
    ...rpc,
    ...channels,
    async advance(ms) {
      nowMs += ms;
    },
    async tick() {
      nowMs += 1;
    },
    now: async () => nowMs,
    log: async () => rpc.log.map((entry) => entry.join(' ')),
    async interrupt() {
      rpc.doorbells.cut();
      rpc.doorbells.restore();
    },
  };
}

/** One server; each implementation has a prefix and channels of its own. */
export async function redisSource(): Promise<RpcSource & { readonly redis: Redis }> {
  const server = await startTestRedis({ fsync: 'everysec' });
  const logger = createLogger('fatal');
  const redis = openConnection(server.url, 'patient', 'test', logger);
  const subscriber = openConnection(server.url, 'patient', 'test-sub', logger);
  await Promise.all([untilReady(redis, 20_000), untilReady(subscriber, 20_000)]);
  const doorbells = createRedisDoorbells(redis, subscriber, logger);

  function make(): RpcUnderTest {
    const prefix = `t-${randomUUID()}`;
    const channels = { requestChannel: `${prefix}:requests`, responseChannel: `${prefix}:responses` };
    const names = createNames({ prefix, ...channels });
    const scripts = createScriptRunner(redis, names.prefix, { ...channels, keepFinishedMs: KEEP_MS });
    return {
      ...channels,
      records: createJobRecords(redis, names, scripts, () => undefined),
      batches: createBatchRecords(scripts, () => undefined),
      submissions: createSubmissions(scripts),
      doorbells,
      claimsOf: (node, roots) =>
        createClaims(
          scripts,
          node,
          { leaseMs: LEASE_MS, leaderMs: LEADER_MS },
          roots === undefined ? null : () => roots,
          () => undefined,
        ),
      upkeepOf: (node) => createUpkeep(redis, names, scripts, node, LOST_BACKOFF_MS),
      liveChannel: names.live,
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

  return {
    redis,
    make,
    async stop() {
      closeConnection(redis);
      closeConnection(subscriber);
      await server.stop();
    },
  };
}

/** Redis takes the time from its host. So instead of the clock, every moment the records hold is moved. */
const SHIFT_SETS = `
for _, set in ipairs({ 'awaiting', 'expiries', 'running', 'nodes', 'pinned' }) do
  local key = KEYS[1] .. ':' .. set
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ARGV[1], member) end
end
`;
const SHIFT = `
${SHIFT_SETS}
for _, key in ipairs(redis.call('KEYS', KEYS[1] .. ':*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
  if string.find(key, ':job:', 1, true) and redis.call('EXISTS', key) == 1 then
    for _, field in ipairs({ 'scheduledFor', 'deadline' }) do
      local at = redis.call('HGET', key, field)
      if at and at ~= '' then redis.call('HSET', key, field, at - ARGV[1]) end
    end
  end
end
`;
