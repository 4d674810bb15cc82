import { describe, expect, it } from 'vitest';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { createCallerLimiter } from '../../../src/limits/callers.ts';
import { NO_LIMITS } from '../../../src/protocol/grant.ts';
import type { Limited, LimitName } from '../../../src/records/limit-records.ts';
import type { SettledLimits } from '../../../src/records/script-runner.ts';
import { callerOf } from '../../fakes/principals.ts';

const SETTLED: SettledLimits = {
  projects: { busy: { requestsPerMinute: 60 }, poor: { usdPerDay: 5 }, single: { maxRunning: 1 } },
  jwt: { jobsPerHour: 10 },
};
const LIMITED: Limited = {
  ...{ kind: 'limited', limit: 'jobsPerHour', of: 'principal', retryMs: 90_500 },
  rate: { limit: 10, remaining: 2, resetMs: 3_600_000 },
};
const caller = (id: string, project: string, rest: Partial<Principal> = {}): Principal => ({
  ...callerOf(id),
  ...{ id, project },
  ...rest,
});

function limiter(answer: Limited | null = null) {
  const taken: string[] = [];
  const refused: LimitName[] = [];
  const take = async ({ id }: Pick<Principal, 'id'>) => {
    taken.push(id);
    return answer;
  };
  return { ...createCallerLimiter({ take }, SETTLED, (limit) => void refused.push(limit)), taken, refused };
}

describe('the limits of callers', () => {
  it('cost no round trip where there is none', async () => {
    const { takeRequest, taken } = limiter();
    expect(await takeRequest(caller('key:1', 'web'))).toBeNull();
    expect(await takeRequest({ ...ADMIN_PRINCIPAL, project: 'busy' })).toBeNull();
    expect(taken).toEqual([]);
    await takeRequest(caller('key:1', 'busy'));
    await takeRequest(caller('key:2', 'web', { limits: { ...NO_LIMITS, requestsPerMinute: 1 } }));
    expect(taken).toEqual(['key:1', 'key:2']);
  });

  it('remember whose last job was refused, until one is made', () => {
    const { refusal, accepted, wasRefused } = limiter();
    const [ann, bob] = [caller('key:1', 'web'), caller('key:2', 'web')];
    refusal({ ...LIMITED, limit: 'requestsPerMinute' }, ann, 1);
    expect(wasRefused(ann)).toBe(false);
    refusal(LIMITED, ann, 1);
    expect([wasRefused(ann), wasRefused(bob)]).toEqual([true, false]);
    accepted(ann);
    expect(wasRefused(ann)).toBe(false);
  });

  it('a refusal names the limit, whose it is, and when to come back', async () => {
    const { refusal, refused } = limiter();
    const error = refusal(LIMITED, callerOf('ann'), 1);
    expect(error).toMatchObject({ code: 'limit.jobs_per_hour', status: 429, retryAfterSeconds: 91 });
    expect(error.message).toBe('this caller may make 10 jobs an hour');
    expect(refusal(LIMITED, callerOf('ann'), 20).message).toBe(
      'this caller may make 10 jobs an hour; 2 of 20 fit now',
    );
    const ofProject = { ...LIMITED, of: 'project', limit: 'maxQueued', retryMs: null } as const;
    expect(refusal(ofProject, { id: 'ann', project: 'web' }, 1)).toMatchObject({
      ...{ code: 'limit.max_queued', message: 'the project web may have 10 jobs that have not started' },
      retryAfterSeconds: 10,
    });
    expect(refused).toEqual(['jobsPerHour', 'jobsPerHour', 'maxQueued']);
    await expect(
      limiter({ ...LIMITED, limit: 'requestsPerMinute' }).takeRequest(caller('a', 'busy')),
    ).rejects.toMatchObject({ code: 'limit.requests_per_minute' });
  });
});
