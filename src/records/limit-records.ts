import type { Principal } from '../auth/principal.ts';
import type { Settings } from '../config/schema.ts';
import type { Rate } from '../errors.ts';
import type { CallerLimits } from '../protocol/grant.ts';
import type { ScriptRunner, SettledLimits } from './script-runner.ts';

/** A limit of a caller that may refuse it; docs/api.md has what they mean. */
export type LimitName = Exclude<keyof CallerLimits, 'maxRunning'>;

/** A job or batch was made. */
export interface Made {
  readonly kind: 'created';
  /** What is left of the jobs an hour. Left out: there is no such limit. */
  readonly rate?: Rate;
}

/** A caller, or its project, has reached a limit. Nothing was made or counted. */
export interface Limited {
  readonly kind: 'limited';
  readonly limit: LimitName;
  readonly of: 'project' | 'principal';
  readonly rate: Rate;
  /** When there may be room again; null: not known. */
  readonly retryMs: number | null;
}

/** The limits that the settings have. */
export const settledLimits = ({
  projectLimits,
  jwtLimits,
  jwtJobsPerHour,
}: Pick<Settings, 'projectLimits' | 'jwtLimits' | 'jwtJobsPerHour'>): SettledLimits => ({
  projects: projectLimits,
  jwt: { ...jwtLimits, jobsPerHour: jwtJobsPerHour },
});

/** Counts the requests of callers, for all nodes. */
export interface RequestCounts {
  /** Counts one; null: the caller and its project have no limit. */
  take(caller: Pick<Principal, 'id' | 'project'>): Promise<Limited | { kind: 'counted'; rate: Rate } | null>;
}

/** {@link RequestCounts} over Redis. */
export function createRequestCounts(scripts: ScriptRunner): RequestCounts {
  return {
    async take({ id, project }) {
      const reply = (await scripts.run('request', { project, principal: id })) as LimitReply; // the script's replies
      const rate = rateOf(reply);
      return limitedOf(reply) ?? (rate === null ? null : { kind: 'counted', rate });
    },
  };
}

/** What a script answers that counts for limits: its kind, then what is left, or the refusal. */
export type LimitReply = readonly [kind?: string, ...rest: (string | number)[]];

/** What is left of a limit, of a reply that refuses nothing; null: there is no limit. */
function rateOf([, limit, remaining, resetMs]: LimitReply): Rate | null {
  if (typeof limit !== 'number') return null;
  return { limit, remaining: Number(remaining), resetMs: Number(resetMs) };
}

/** The answer to a job or batch that was made. */
export function createdOf(reply: LimitReply): Made {
  const rate = rateOf(reply);
  return rate === null ? { kind: 'created' } : { kind: 'created', rate };
}

/** The refusal in a reply; null: there is none. */
export function limitedOf([
  kind,
  name,
  holder,
  max,
  remaining,
  resetMs,
  retryMs,
]: LimitReply): Limited | null {
  if (kind !== 'limited') return null;
  return {
    kind,
    limit: name as LimitName, // written by the scripts alone
    of: holder === 1 ? 'project' : 'principal',
    rate: { limit: Number(max), remaining: Number(remaining), resetMs: msOf(resetMs) ?? 0 },
    retryMs: msOf(retryMs),
  };
}

const msOf = (value: string | number | undefined): number | null =>
  typeof value === 'number' && value >= 0 ? value : null;
