import type { Redis } from 'ioredis';
import type { Names } from '../redis/names.ts';
import type { Upkeep } from './ports.ts';
import type { ScriptRunner } from './script-runner.ts';

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
      return (await scripts.run('UNDELIVERED', [againInMs, limit])) as string[]; // the script's replies
    },
    async held(ids, againInMs) {
      if (ids.length > 0) await scripts.run('HELD', [againInMs, ...ids]);
    },
    async expire(outcome, limit) {
      return (await scripts.run('EXPIRE', [JSON.stringify(outcome), limit])) as string[]; // the script's replies
    },
    async settleLost(absentMs, lost, unavailableOutcome) {
      const args = [absentMs, JSON.stringify(lost), JSON.stringify(unavailableOutcome), backoffMs];
      return (await scripts.run('SETTLE_LOST', args)) as string[]; // the script's replies
    },
    async leave() {
      await scripts.run('LEAVE', [node]);
    },
    async counts() {
      const [pending, pinned, awaiting, running, nodes] = await Promise.all([
        redis.zcard(names.pending),
        redis.zcard(names.pendingOn(node)),
        redis.zcard(names.awaiting),
        redis.zcard(names.running),
        redis.zcard(names.nodes),
        redis.xlen(names.log),
      ]);
      return { pending: pending + pinned, awaiting, running, nodes };
    },
  };
}
