import { createHash } from 'node:crypto';
import type { Idempotency } from '../http/ports.ts';
import type { Actor } from '../protocol/audit.ts';
import { type CallerLimits, type Grant, NO_LIMITS, OPEN_GRANT } from '../protocol/grant.ts';
import { includesScope, type Scope } from '../protocol/key.ts';
import { DEFAULT_PROJECT } from '../protocol/project.ts';

/** A caller. What it makes belongs to its project; `id` says who acted. */
export interface Principal {
  /** `admin`, `raw`, `key:<id>`, `jwt:<subject>` or `job:<id>`. */
  readonly id: string;
  readonly project: string;
  readonly scopes: readonly Scope[];
  /** It may do everything, in every project. */
  readonly admin: boolean;
  /** The key it came with; null: none. A rotation makes another generation. */
  readonly key: { readonly id: string; readonly generation: number } | null;
  /** What its jobs may use. */
  readonly grant: Grant;
  readonly limits: CallerLimits;
  /** When its token ends, in milliseconds since the epoch; null: never. */
  readonly expiresAt: number | null;
  /** The login that it came with, and when that ends (ms); left out: none. */
  readonly login?: { readonly id: string; readonly untilMs: number };
  /** Its request; left out: none over HTTP. */
  readonly origin?: Omit<Actor, 'id'>;
}

/** Who acts, as the audit names it. */
export const actorOf = ({ id, origin = NO_ORIGIN }: Principal): Actor => ({ id, ...origin });
const NO_ORIGIN = { address: null, requestId: null } as const;

/** What only the settings limit. */
const OPEN = { grant: OPEN_GRANT, limits: NO_LIMITS, expiresAt: null };

/** The principal of the admin token. */
export const ADMIN_PRINCIPAL: Principal = {
  id: 'admin',
  project: DEFAULT_PROJECT,
  scopes: ['admin'],
  admin: true,
  key: null,
  ...OPEN,
};

/** Who makes the jobs of raw requests from the requests channel. It has no rights over HTTP. */
export const RAW_PRINCIPAL: Principal = {
  id: 'raw',
  project: DEFAULT_PROJECT,
  scopes: [],
  admin: false,
  key: null,
  ...OPEN,
};

/** Whether a principal may use what needs a scope. */
export const mayUse = ({ scopes }: Principal, scope: Scope): boolean => includesScope(scopes, scope);

/** Whether a principal may see and change what belongs to a project; null: not known. */
export const maySee = (principal: Principal, project: string | null): boolean =>
  principal.admin || principal.project === project;

/** A principal that acts in the project of what it repeats; undefined: in its own. */
export const inProject = (principal: Principal, project = principal.project): Principal => ({
  ...principal,
  project,
});

/** The only project whose jobs a principal sees; null: it sees every project. */
export const projectOf = ({ admin, project }: Principal): string | null => (admin ? null : project);

/** Whether a principal may know of a gate: those of other projects are hidden. */
export function maySeeGate(principal: Principal, gate: string): boolean {
  const project = /^(?:project|budget):([^|]*)/.exec(gate)?.[1];
  return project === undefined || maySee(principal, project);
}

/** The subject of a JWT may act in several projects, a key in one. */
const projectsOfOne = ({ id, project }: Principal): readonly string[] =>
  id.startsWith('jwt:') ? [project] : [];

/**
 * An Idempotency-Key as the records know it: a digest, in which each principal has its own keys.
 */
export function scopedKey(principal: Principal, given: Idempotency | null): Idempotency | null {
  if (given === null) return null;
  const key = createHash('sha256')
    .update(JSON.stringify([principal.id, given.key, ...projectsOfOne(principal)]))
    .digest('base64url');
  return { key, fingerprint: given.fingerprint };
}
