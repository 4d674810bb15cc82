import type { Principal } from '../../src/auth/principal.ts';
import { NO_LIMITS, OPEN_GRANT } from '../../src/protocol/grant.ts';
import type { Scope } from '../../src/protocol/key.ts';

/** A principal that is no admin. Without scopes it has all the others. */
export const callerOf = (
  id: string,
  project = id,
  scopes: readonly Scope[] = ['jobs:read', 'jobs:write', 'usage:read'],
): Principal => ({
  ...{ id, project, scopes, admin: false, key: null },
  ...{ grant: OPEN_GRANT, limits: NO_LIMITS, expiresAt: null },
});
