/** Keys: what a caller may do, and in which project. */
import { type Static, Type } from '#typebox';
import { grantFields, limitFields } from './grant.ts';
import { DEFAULT_PROJECT } from './project.ts';
import { closed, nullable, ProjectName } from './schema.ts';

/** What a caller may do. `admin` includes every other one, in every project. */
export const SCOPES = [
  ...(['jobs:read', 'jobs:write', 'sessions:read', 'sessions:write', 'terminals'] as const),
  ...(['approvals:read', 'approvals:decide', 'schedules:write', 'webhooks:write'] as const),
  ...(['usage:read', 'metrics:read', 'audit:read', 'admin'] as const),
] as const;
export type Scope = (typeof SCOPES)[number];

/** Scopes that another one includes: who may cancel a job gets its document as the answer. */
const INCLUDED: Readonly<Partial<Record<Scope, readonly Scope[]>>> = {
  'jobs:write': ['jobs:read'],
  'sessions:write': ['sessions:read'],
  'approvals:decide': ['approvals:read'],
};

/** Whether a caller with these scopes may do what needs `wanted`. */
export const includesScope = (scopes: readonly Scope[], wanted: Scope): boolean =>
  scopes.some((scope) => scope === 'admin' || scope === wanted || INCLUDED[scope]?.includes(wanted));

const Scopes = Type.Array(Type.Enum([...SCOPES]), {
  minItems: 1,
  maxItems: SCOPES.length,
  description: 'what the key may do; `…:write` includes `…:read`, and `admin` everything in every project',
});
const Name = Type.String({ minLength: 1, maxLength: 64, description: 'for people; need not be unique' });

const given = { ...grantFields, ...limitFields };

/** Body of `POST /v1/keys`. */
export const KeyRequest = Type.Object(
  {
    ...Type.Partial(Type.Object(given)).properties,
    name: Name,
    project: Type.Optional({ ...ProjectName, default: DEFAULT_PROJECT }),
    scopes: Scopes,
    expiresAt: Type.Optional(
      nullable(Type.String({ format: 'date-time' }), { description: 'RFC 3339; null: never', default: null }),
    ),
  },
  {
    ...closed,
    examples: [{ name: 'ci', project: 'web', scopes: ['jobs:write'], roots: ['/srv/web'], maxRunning: 2 }],
  },
);
export type KeyRequest = Static<typeof KeyRequest>;

const time = (description: string) => nullable(Type.String(), { description });
const fields = {
  id: Type.String({ description: 'ULID' }),
  name: Name,
  project: ProjectName,
  scopes: Scopes,
  status: Type.Enum(['active', 'expired', 'revoked', 'unsigned'], {
    description:
      '`unsigned`: its record is not signed with the BULLPEN_SIGNING_SECRET; it is refused until it is rotated',
  }),
  createdAt: Type.String({ description: 'RFC 3339' }),
  createdBy: Type.String({ description: 'the principal that made it' }),
  expiresAt: time('RFC 3339; null: never'),
  revokedAt: time('RFC 3339; null: it is not revoked'),
  lastUsedAt: time('RFC 3339, correct to a minute; null: never'),
  ...given,
};
const exampleKey = {
  ...{ id: '01K9ZV4Q4S9V0M0X2T6D8Y3B7C', name: 'ci', project: 'web', scopes: ['jobs:write'] },
  ...{ status: 'active', createdAt: '2026-11-21T12:00:00.000Z', createdBy: 'admin' },
  ...{ expiresAt: null, revokedAt: null, lastUsedAt: null },
  ...{ providers: null, roots: ['/srv/web'], tools: null, permissionModes: null },
  ...{ requestsPerMinute: null, jobsPerHour: null, maxQueued: null, maxRunning: 2, usdPerDay: null },
};

/** A key, without its secret. */
export const Key = Type.Object(fields, { examples: [exampleKey] });
export type Key = Static<typeof Key>;

/** Answer of `GET /v1/me`: what the server makes of a token. */
export const Me = Type.Object(
  {
    principal: Type.String({ description: '`key:<id>`, `jwt:<sub>` or `admin`' }),
    project: ProjectName,
    scopes: Type.Array(Type.Enum([...SCOPES]), { description: 'what the token allows' }),
    expiresAt: time('RFC 3339: when the token ends; null: never'),
    ...given,
  },
  {
    examples: [
      {
        ...{ principal: 'jwt:ada', project: 'web', scopes: ['jobs:write', 'usage:read'] },
        expiresAt: '2026-11-21T13:00:00.000Z',
        ...{ providers: null, roots: null, tools: null, permissionModes: null },
        ...{ requestsPerMinute: null, jobsPerHour: 10, maxQueued: null, maxRunning: null, usdPerDay: null },
      },
    ],
  },
);
export type Me = Static<typeof Me>;

/** Answer of `POST /v1/login-links`. */
export const LoginLink = Type.Object(
  {
    code: Type.String({ description: 'for `POST /login`, once' }),
    expiresAt: Type.String({ description: 'RFC 3339' }),
  },
  { examples: [{ code: 'q4J…', expiresAt: '2026-11-21T12:01:00.000Z' }] },
);
export type LoginLink = Static<typeof LoginLink>;

/** Answer of `GET /v1/keys`. */
export const KeyList = Type.Object(
  { data: Type.Array(Key), nextCursor: Type.Null() },
  { examples: [{ data: [exampleKey], nextCursor: null }] },
);

/** Answer of `POST /v1/keys` and of a rotation. */
export const KeyCreated = Type.Object(
  {
    ...fields,
    token: time(
      '`bp_<id>_<secret>`, shown only here; null: an earlier request with this Idempotency-Key got it',
    ),
  },
  { examples: [{ ...exampleKey, token: 'bp_01K9ZV4Q4S9V0M0X2T6D8Y3B7C_…' }] },
);
export type KeyCreated = Static<typeof KeyCreated>;
