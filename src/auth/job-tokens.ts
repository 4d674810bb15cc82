/**
 * Tokens with which the CLI of a job, and its tools, call this server. A token is an HMAC of its
 * execution with a key that this process alone has. So nothing is stored, and it is worth nothing
 * after the execution, on another node, or after a restart.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { NO_LIMITS } from '../protocol/grant.ts';
import { includesScope, SCOPES, type Scope } from '../protocol/key.ts';
import type { JobGrant } from './job-grant.ts';
import type { Keys } from './keys.ts';
import type { Principal } from './principal.ts';

/** Jobs inside jobs: the deepest one makes no more. */
export const MAX_DEPTH = 3;

/**
 * What a job may do at most. It decides nothing about approvals and administers nothing. Nothing
 * that it makes acts later by itself, as a schedule would.
 */
const SCOPES_INSIDE: readonly Scope[] = [
  ...(['jobs:read', 'jobs:write', 'sessions:read', 'sessions:write'] as const),
  ...(['approvals:read', 'usage:read'] as const),
];

const TOKEN = /^bp_job_([0-7][0-9A-HJKMNP-TV-Z]{25})_([A-Za-z0-9_-]{43})$/;

/** A claimed job, as far as its token goes. */
export interface TokenJob {
  readonly jobId: string;
  readonly executionId: string;
  readonly project: string;
  /** Null: a record of an older version. It gets no token. */
  readonly grant: JobGrant | null;
}

export interface JobTokens {
  /**
   * The variables of an execution; null: it gets no token. Resolves when the server listens.
   * @param job which need not be claimed yet
   */
  variables(job: TokenJob): Promise<Readonly<Record<string, string>> | null>;
  /**
   * `ended`: it was the token of an execution. Null: it is no token of a job.
   * @throws AppError redis.unavailable when the key of the job may have been revoked
   */
  find(token: string): { readonly principal: Principal } | 'ended' | null;
  /**
   * The principal of a job as it is now; null: none of its executions runs here.
   * @throws AppError redis.unavailable as `find`
   */
  current(principal: Principal): Principal | null;
}

/** Those that this version knows. */
const scopesOf = (grant: JobGrant): readonly Scope[] => SCOPES.filter((one) => grant.scopes.includes(one));

export const isJobPrincipal = ({ id }: Principal): boolean => id.startsWith('job:');

export function createJobTokens({
  enabled,
  address,
  running,
  keys,
}: {
  readonly enabled: boolean;
  /** Of this server, for its own machine. */
  readonly address: Promise<string>;
  /** The executions whose CLI runs, or is about to. */
  running(): readonly TokenJob[];
  readonly keys: Pick<Keys, 'byId'>;
}): JobTokens {
  const secret = randomBytes(32);
  const proofOf = (executionId: string): string =>
    createHmac('sha256', secret).update(executionId).digest('base64url');

  /** @param key as it is now; null: the job was made without one */
  function principalOf({ jobId, project }: TokenJob, grant: JobGrant, key: Principal | null): Principal {
    const { scopes: _, key: __, ...rights } = grant;
    const may = (scope: Scope): boolean =>
      includesScope(scopesOf(grant), scope) && (key === null || includesScope(key.scopes, scope));
    return {
      id: `job:${jobId}`,
      project,
      scopes: SCOPES_INSIDE.filter(may),
      admin: false,
      key: key?.key ?? null,
      grant: { ...rights, depth: rights.depth + 1 },
      limits: key?.limits ?? NO_LIMITS,
      expiresAt: null,
    };
  }

  /** @param keyOf the key as it is now; null: it is no longer valid */
  function withRights(job: TokenJob | undefined, keyOf: (id: string) => Principal | null): Principal | null {
    if (job === undefined || job.grant === null) return null;
    if (job.grant.key === null) return principalOf(job, job.grant, null);
    const key = keyOf(job.grant.key);
    return key === null ? null : principalOf(job, job.grant, key);
  }

  return {
    async variables({ executionId, grant }) {
      if (!enabled || grant === null) return null;
      if (!SCOPES_INSIDE.some((scope) => includesScope(scopesOf(grant), scope))) return null;
      // No client connects to `::`, which means every address.
      const url = (await address).replace('//[::]:', '//[::1]:');
      return { BULLPEN_URL: url, BULLPEN_JOB_TOKEN: `bp_job_${executionId}_${proofOf(executionId)}` };
    },
    find(token) {
      const [, executionId = '', proof = ''] = TOKEN.exec(token) ?? [];
      if (!enabled || executionId === '') return null;
      if (!timingSafeEqual(Buffer.from(proof), Buffer.from(proofOf(executionId)))) return null;
      const job = running().find((one) => one.executionId === executionId);
      const principal = withRights(job, keys.byId);
      return principal === null ? 'ended' : { principal };
    },
    current(principal) {
      const job = running().find(({ jobId }) => principal.id === `job:${jobId}`);
      return withRights(job, keys.byId);
    },
  };
}
