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
      return (await scripts.run('undelivered', { againInMs, limit })) as string[]; // the script's replies
    },
    async held(ids, againInMs) {
      if (ids.length > 0) await scripts.run('held', { againInMs }, ids);
    },
    async expire(outcome, limit) {
      return (await scripts.run('expire', { outcome: JSON.stringify(outcome), limit })) as string[]; // the script's replies
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
