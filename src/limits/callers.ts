/** Limits of callers and of their projects. The scripts count, for all nodes. */
import type { Principal } from '../auth/principal.ts';
import { AppError, type ErrorCode, type Rate } from '../errors.ts';
import { type CallerLimits, NO_LIMITS } from '../protocol/grant.ts';
import type { Limited, LimitName, RequestCounts } from '../records/limit-records.ts';
import type { SettledLimits } from '../records/script-runner.ts';

type Caller = Pick<Principal, 'id' | 'project' | 'admin' | 'limits'>;

export interface CallerLimiter {
  /** Whether the last job of a caller was refused, as far as this node knows. */
  wasRefused(caller: Pick<Caller, 'id' | 'project'>): boolean;
  /** A job of the caller was made. */
  accepted(caller: Pick<Caller, 'id' | 'project'>): void;
  /**
   * Counts a request. Returns what is left; null: there is no limit. Admins have none.
   * @throws AppError limit.requests_per_minute
   */
  takeRequest(caller: Caller): Promise<Rate | null>;
  /** The error for a caller that is refused. `count`: how many jobs it asked for at once. */
  refusal(limited: Limited, caller: Pick<Caller, 'id' | 'project'>, count: number): AppError;
}

const nameOf = ({ id, project }: Pick<Caller, 'id' | 'project'>): string => `${project}|${id}`;
/** Of callers that are remembered as refused. */
const MAX_REFUSED = 10_000;

/** A caller without a limit costs no round trip. */
export function createCallerLimiter(
  counts: RequestCounts,
  settled: SettledLimits,
  onLimited: (limit: LimitName) => void,
): CallerLimiter {
  const jwtLimits = { ...NO_LIMITS, ...settled.jwt };
  /** All that may count: only the scripts know whose job a job was made in. */
  const limitsOf = ({ id, limits, project }: Caller): readonly CallerLimits[] => [
    ...(id.startsWith('job:') ? [jwtLimits] : []),
    limits,
    { ...NO_LIMITS, ...settled.projects[project] },
  ];
  const refused = new Set<string>();
  function refusal(limited: Limited, caller: Pick<Caller, 'id' | 'project'>, count: number): AppError {
    onLimited(limited.limit);
    if (refused.size >= MAX_REFUSED) refused.clear();
    if (limited.limit !== 'requestsPerMinute') refused.add(nameOf(caller));
    return limitError(limited, caller, count);
  }

  return {
    refusal,
    wasRefused: (caller) => refused.has(nameOf(caller)),
    accepted: (caller) => void refused.delete(nameOf(caller)),
    async takeRequest(caller) {
      if (caller.admin || limitsOf(caller).every((limits) => limits.requestsPerMinute === null)) return null;
      const taken = await counts.take(caller);
      if (taken?.kind !== 'limited') return taken?.rate ?? null;
      throw refusal(taken, caller, 1);
    },
  };
}

const CODES: Readonly<Record<LimitName, ErrorCode>> = {
  requestsPerMinute: 'limit.requests_per_minute',
  jobsPerHour: 'limit.jobs_per_hour',
  maxQueued: 'limit.max_queued',
  usdPerDay: 'limit.usd_per_day',
};

/** When a job starts is not known. */
const TRY_AGAIN_MS = 10_000;

function limitError(
  { limit, of, rate, retryMs }: Limited,
  { project }: Pick<Principal, 'project'>,
  count: number,
): AppError {
  const who = of === 'project' ? `the project ${project}` : 'this caller';
  const max = rate.limit;
  const may: Readonly<Record<LimitName, string>> = {
    requestsPerMinute: `make ${max} requests a minute`,
    jobsPerHour: `make ${max} jobs an hour`,
    maxQueued: `have ${max} jobs that have not started`,
    usdPerDay: `spend ${max} USD a day; the next day begins at 00:00 UTC`,
  };
  const left = count > 1 && limit !== 'usdPerDay' ? `; ${rate.remaining} of ${count} fit now` : '';
  const retryAfterSeconds = Math.max(1, Math.ceil((retryMs ?? TRY_AGAIN_MS) / 1000));
  return new AppError(CODES[limit], `${who} may ${may[limit]}${left}`, { retryAfterSeconds, rate });
}
