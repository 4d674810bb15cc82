import type { Redis } from 'ioredis';
import { wireError } from '../errors.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { Names } from '../redis/names.ts';
import type { Upkeep } from './ports.ts';
import type { ScriptRunner } from './script-runner.ts';

/** The outcome of a job that waited for a usage limit longer than its `quotaTimeoutMs`. */
const NO_QUOTA = jobOutcome(
  'failed',
  wireError('execution.quota', 'the usage limit lasted longer than quotaTimeoutMs'),
);

/** {@link Upkeep} over Redis, for one node. */
export function createUpkeep(
  redis: Redis,
  names: Names,
  scripts: ScriptRunner,
  node: string,
  backoffMs: number,
): Upkeep {
  return {
    async undelivered(againInMs, limit) {
      return (await scripts.run('undelivered', { againInMs, limit })) as string[]; // the script's replies
    },
    async held(ids, againInMs) {
      if (ids.length > 0) await scripts.run('held', { againInMs }, ids);
    },
    async expire(outcome, limit) {
      const args = { outcome: JSON.stringify(outcome), quota: JSON.stringify(NO_QUOTA), limit };
      return (await scripts.run('expire', args)) as string[]; // the script's replies
    },
    async settleLost(absentMs, lostOutcome, unavailableOutcome) {
      const lost = JSON.stringify(lostOutcome);
      const unavailable = JSON.stringify(unavailableOutcome);
      const args = { absentMs, lost, unavailable, backoffMs };
      return (await scripts.run('settle-lost', args)) as string[]; // the script's replies
    },
    async leave() {
      await scripts.run('leave', { node });
    },
    async counts() {
      const [pending, pinned, awaiting, running, nodes] = await Promise.all([
        redis.zcard(names.pending),
        redis.zcard(names.pendingOn(node)),
        redis.zcard(names.awaiting),
        redis.zcard(names.running),
        redis.zcard(names.nodes),
        redis.xlen(names.log), // only its error counts: /ready reports a log that is no stream
      ]);
      return { pending: pending + pinned, awaiting, running, nodes };
    },
  };
}
