/** What the record of a key says: its document, its status, the principal of its token. */
import { AppError } from '../errors.ts';
import { NO_LIMITS, OPEN_GRANT } from '../protocol/grant.ts';
import type { Key, KeyRequest } from '../protocol/key.ts';
import { instant } from '../protocol/schema.ts';
import type { KeyRecord } from './ports.ts';
import type { Principal } from './principal.ts';

/** `now`: milliseconds since the epoch. */
export function statusOf(
  { revokedAt, expiresAt }: KeyRecord,
  now: number,
): Exclude<Key['status'], 'unsigned'> {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && expiresAt <= now ? 'expired' : 'active';
}

export function principalOf(record: KeyRecord): Principal {
  const { id, project, scopes, generation, expiresAt } = record;
  const [grant, limits] = [
    { ...OPEN_GRANT, ...record.grant },
    { ...NO_LIMITS, ...record.limits },
  ];
  const rights = { scopes, admin: scopes.includes('admin'), grant, limits };
  return { id: `key:${id}`, project, ...rights, key: { id, generation }, expiresAt };
}

/** @param lastUsedAt milliseconds since the epoch; null: never */
export function keyDocument(record: KeyRecord, lastUsedAt: number | null, status: Key['status']): Key {
  const { providers, roots, tools, permissionModes } = { ...OPEN_GRANT, ...record.grant };
  return {
    ...{ id: record.id, name: record.name, project: record.project, scopes: [...record.scopes] },
    status,
    ...{ createdAt: timeOf(record.createdAt), createdBy: record.createdBy },
    ...{ expiresAt: timeOrNull(record.expiresAt), revokedAt: timeOrNull(record.revokedAt) },
    lastUsedAt: timeOrNull(lastUsedAt),
    ...{ providers: own(providers), roots: own(roots), tools: own(tools) },
    ...{ permissionModes: own(permissionModes), ...NO_LIMITS, ...record.limits },
  };
}

/** What a request limits. Left out is null: not limited. */
export function requestedRights(request: KeyRequest): Required<Pick<KeyRecord, 'grant' | 'limits'>> {
  const { providers = null, roots = null, tools = null, permissionModes = null } = request;
  const { requestsPerMinute = null, jobsPerHour = null, maxQueued = null } = request;
  const { maxRunning = null, usdPerDay = null } = request;
  return {
    grant: { providers, roots, tools, permissionModes },
    limits: { requestsPerMinute, jobsPerHour, maxQueued, maxRunning, usdPerDay },
  };
}

/** The end of a key in milliseconds. @throws AppError request.invalid when it has passed */
export function futureTime(expiresAt: string, now: number): number {
  const at = instant('expiresAt', expiresAt);
  if (at > now) return at;
  const problems = [{ path: '/expiresAt', message: 'must be in the future' }];
  throw new AppError('request.invalid', 'expiresAt must be in the future', { problems });
}

const own = <T>(list: readonly T[] | null): T[] | null => (list === null ? null : [...list]);
const timeOf = (ms: number): string => new Date(ms).toISOString();
const timeOrNull = (ms: number | null): string | null => (ms === null ? null : timeOf(ms));
