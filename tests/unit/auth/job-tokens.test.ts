import { describe, expect, it } from 'vitest';
import type { JobGrant } from '../../../src/auth/job-grant.ts';
import { createJobTokens, type TokenJob } from '../../../src/auth/job-tokens.ts';
import { ADMIN_PRINCIPAL, type Principal } from '../../../src/auth/principal.ts';
import { AppError } from '../../../src/errors.ts';
import { NO_LIMITS, OPEN_GRANT } from '../../../src/protocol/grant.ts';
import { SCOPES } from '../../../src/protocol/key.ts';

const URL = 'http://127.0.0.1:3000';
const EXECUTION = '01K9ZV4Q4S9V0M0X2T6D8Y3B7C';
const OF_ADMIN: JobGrant = { ...OPEN_GRANT, scopes: ['admin'], key: null };
const JOB: TokenJob = { jobId: '01JOB', executionId: EXECUTION, project: 'web', grant: OF_ADMIN };
const KEY: Principal = {
  ...ADMIN_PRINCIPAL,
  ...{ id: 'key:k1', project: 'web', scopes: ['jobs:write', 'usage:read'], admin: false },
  key: { id: 'k1', generation: 2 },
  limits: { ...NO_LIMITS, jobsPerHour: 5 },
};

/** Tokens of a server on which this job runs, whose maker's key is this one now. */
function tokensOf(job: Partial<TokenJob> = {}, key: (() => Principal | null) | null = null) {
  const running: TokenJob[] = [{ ...JOB, ...job }];
  const tokens = createJobTokens({
    enabled: true,
    address: Promise.resolve(URL),
    running: () => running,
    keys: { byId: (id) => (id === 'k1' && key !== null ? key() : null) },
  });
  const variables = () => tokens.variables({ ...JOB, ...job });
  return {
    tokens,
    variables,
    token: async () => (await variables())?.['BULLPEN_JOB_TOKEN'] ?? expect.unreachable(),
    end: () => void running.pop(),
  };
}

async function principalOf(job: Partial<TokenJob>, key: (() => Principal | null) | null = null) {
  const { tokens, token } = tokensOf(job, key);
  const found = tokens.find(await token());
  if (found === null || found === 'ended') return found;
  expect(tokens.current(found.principal)).toEqual(found.principal);
  return found.principal;
}

describe('the token of a job', () => {
  it('is given to its CLI with the address of the server, in a form that the redactor knows', async () => {
    expect(await tokensOf().variables()).toEqual({
      BULLPEN_URL: URL,
      BULLPEN_JOB_TOKEN: expect.stringMatching(new RegExp(`^bp_job_${EXECUTION}_[\\w-]{43}$`)),
    });
  });

  it('is the same for each preparation of an execution, and another one for the next', async () => {
    const { tokens, token } = tokensOf();
    expect(await token()).toBe(await token());
    const next = await tokens.variables({ ...JOB, executionId: '01K9ZV4Q4S9V0M0X2T6D8Y3B7D' });
    expect(next?.['BULLPEN_JOB_TOKEN']).not.toBe(await token());
  });

  it('is valid while its execution runs', async () => {
    const { tokens, token, end } = tokensOf();
    const found = tokens.find(await token());
    if (found === null || found === 'ended') return expect.unreachable();
    end();
    expect(tokens.find(await token())).toBe('ended');
    expect(tokens.current(found.principal)).toBeNull();
  });

  it.each(['', 'bp_job_', `bp_job_${EXECUTION}_${'A'.repeat(43)}`, `bp_${EXECUTION}_${'A'.repeat(43)}`])(
    'is not %j',
    (token) => {
      expect(tokensOf().tokens.find(token)).toBeNull();
    },
  );

  it('is not one of another server, nor one without the setting', async () => {
    const token = await tokensOf().token();
    expect(tokensOf().tokens.find(token)).toBeNull();
    const off = createJobTokens({
      enabled: false,
      address: Promise.resolve(URL),
      running: () => [JOB],
      keys: { byId: () => null },
    });
    expect(await off.variables(JOB)).toBeNull();
    expect(off.find(token)).toBeNull();
  });

  it('of an admin reads and makes jobs of one project, and decides and administers nothing', async () => {
    expect(await principalOf({})).toMatchObject({
      ...{ id: 'job:01JOB', project: 'web', admin: false, key: null },
      scopes: ['jobs:read', 'jobs:write', 'sessions:read', 'sessions:write', 'approvals:read', 'usage:read'],
    });
  });

  it('never has a scope that its maker does not have', async () => {
    for (const scope of SCOPES) {
      if (scope === 'admin') continue;
      const { tokens, variables } = tokensOf({ grant: { ...OF_ADMIN, scopes: [scope] } });
      const token = (await variables())?.['BULLPEN_JOB_TOKEN'];
      if (token === undefined) continue;
      const found = tokens.find(token);
      if (found === null || found === 'ended') return expect.unreachable();
      const { scopes } = found.principal;
      const included = scope.endsWith(':write') ? scope.replace('write', 'read') : scope;
      expect(scopes.filter((one) => one !== scope && one !== included)).toEqual(
        scope === 'approvals:decide' ? ['approvals:read'] : [],
      );
      expect(scopes).not.toContain('approvals:decide');
    }
  });

  it('has the grant of its job, one deeper', async () => {
    const grant = { ...OF_ADMIN, providers: ['codex'], roots: ['/srv'], tools: ['Read'], depth: 1 };
    expect(await principalOf({ grant })).toMatchObject({
      grant: { providers: ['codex'], roots: ['/srv'], tools: ['Read'], permissionModes: null, depth: 2 },
    });
  });

  it('follows the key that made the job: its rotation, what it may do by now, its limits', async () => {
    const grant = { ...OF_ADMIN, scopes: ['jobs:write', 'usage:read'], key: 'k1' };
    expect(await principalOf({ grant }, () => KEY)).toMatchObject({
      ...{ id: 'job:01JOB', scopes: ['jobs:read', 'jobs:write', 'usage:read'] },
      ...{ key: KEY.key, limits: KEY.limits },
    });
    const narrower: Principal = { ...KEY, scopes: ['jobs:read'], key: { id: 'k1', generation: 3 } };
    expect(await principalOf({ grant }, () => narrower)).toMatchObject({ scopes: ['jobs:read'] });
    expect(await principalOf({ grant }, () => null)).toBe('ended');
  });

  it('is neither valid nor over while its key may have been revoked', async () => {
    let known = true;
    const { tokens, token } = tokensOf({ grant: { ...OF_ADMIN, key: 'k1' } }, () => {
      if (known) return KEY;
      throw new AppError('redis.unavailable', 'not known');
    });
    const found = tokens.find(await token());
    if (found === null || found === 'ended') return expect.unreachable();
    known = false;
    expect(() => tokens.current(found.principal)).toThrow('not known');
    const again = await token();
    expect(() => tokens.find(again)).toThrow('not known');
  });

  it.each([
    ['of an older record', null],
    ['whose maker may do nothing, as raw requests', { ...OF_ADMIN, scopes: [] }],
    ['whose maker only watches', { ...OF_ADMIN, scopes: ['metrics:read'] }],
  ])('is not given to a job %s', async (_which, grant) => {
    expect(await tokensOf({ grant }).variables()).toBeNull();
  });
});
