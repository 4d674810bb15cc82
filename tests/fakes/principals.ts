import type { Principal } from '../../src/auth/principal.ts';

/** A principal that is no admin. */
export const callerOf = (id: string, project = id): Principal => ({ id, project, admin: false });
