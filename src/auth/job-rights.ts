/** What a job may do when it starts: its grant, and what its key may do by now. */
import { AppError } from '../errors.ts';
import type { Grant } from '../protocol/grant.ts';
import { includesScope } from '../protocol/key.ts';
import type { JobGrant } from './job-grant.ts';
import type { Keys } from './keys.ts';

/** A job, as far as its rights go. */
export interface GrantedJob {
  readonly principal: string;
  /** Null: a record of an older version, which is as free as its project. */
  readonly grant: JobGrant | null;
  /** It should be signed and is not. */
  readonly forged: boolean;
}

export interface JobRights {
  /**
   * The grants that hold for a job now; it may do what all of them allow.
   * @throws AppError auth.unsigned, auth.revoked; redis.unavailable when its key may have been
   *   revoked without this node's knowledge
   */
  of(job: GrantedJob): readonly Grant[];
}

const OF_KEY = /^key:(.+)$/;

export function createJobRights(keys: Pick<Keys, 'byId'>): JobRights {
  return {
    of({ principal, grant, forged }) {
      if (forged) throw new AppError('auth.unsigned', UNSIGNED);
      const grants = grant === null ? [] : [grant];
      const id = grant?.key ?? OF_KEY.exec(principal)?.[1] ?? null;
      if (id === null) return grants;
      const key = keys.byId(id);
      if (key === null) throw new AppError('auth.revoked', REVOKED);
      if (!includesScope(key.scopes, 'jobs:write')) throw new AppError('auth.revoked', NO_SCOPE);
      return [...grants, key.grant];
    },
  };
}

export const UNSIGNED =
  'the record of the job is not signed: it was changed or made by another program, with another BULLPEN_SIGNING_SECRET or before there was one';
export const REVOKED = 'the key that made the job was revoked or has expired';
const NO_SCOPE = 'the key that made the job may no longer make jobs';
