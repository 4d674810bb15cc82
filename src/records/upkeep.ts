import { AppError } from '../errors.ts';
import { NO_QUOTA, UNANSWERED } from './claims.ts';
import type { ScriptRunner } from './script-runner.ts';
import type { Upkeep } from './upkeep-ports.ts';

/** {@link Upkeep} over Redis, for one node. */
export function createUpkeep(scripts: ScriptRunner, node: string, backoffMs: number): Upkeep {
  return {
    async join({ version, host }, absentMs) {
      const args = { node, version, host, absentMs };
      const [other, ...about] = (await scripts.run('join', args)) as string[]; // the script's replies
      if (other === undefined) return;
      const [otherVersion, otherHost] = about;
      throw new AppError(
        'config.invalid',
        `the server ${other}${otherHost ? ` on ${otherHost}` : ''} uses this Redis with ${otherVersion ? `version ${otherVersion}` : 'an earlier version'} of Bullpen, which cannot share jobs with version ${version}; stop it first, or choose another BULLPEN_PREFIX, BULLPEN_REQUEST_CHANNEL and BULLPEN_RESPONSE_CHANNEL`,
      );
    },
    async migrate(ids, over) {
      return (await scripts.run('migrate', { node, over }, ids)) === 1;
    },
    async sweep(againInMs, limit) {
      const [deliver = [], remove = []] = (await scripts.run('sweep', { againInMs, limit })) as string[][]; // the script's replies
      return { deliver, remove };
    },
    async removed(ids) {
      if (ids.length > 0) await scripts.run('removed', {}, ids);
    },
    async expire(outcome, limit) {
      const [quota, unanswered] = [JSON.stringify(NO_QUOTA), JSON.stringify(UNANSWERED)];
      const args = { expired: JSON.stringify(outcome), quota, unanswered, limit };
      return (await scripts.run('expire', args)) as string[]; // the script's replies
    },
    async revoke(ids, outcome) {
      return (await scripts.run('revoke', { outcome: JSON.stringify(outcome) }, ids)) as string[]; // the script's replies
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
      const counts = (await scripts.run('counts', {})) as number[]; // the script's replies
      const [pending = 0, parked = 0, scheduled = 0, running = 0, nodes = 0, approvals = 0] = counts;
      return { pending, parked, scheduled, running, nodes, approvals };
    },
  };
}
