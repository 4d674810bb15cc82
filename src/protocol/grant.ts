/** What a caller, and each job that it makes, may use. It narrows what the settings allow. */
import { type Static, type TSchema, Type } from '#typebox';
import { PermissionMode, ProviderName, ToolPattern } from './prompt.ts';
import { closed, nullable, ProjectName } from './schema.ts';

const orAny = <T extends TSchema>(schema: T, description: string) => nullable(schema, { description });
const noMember = { minItems: 1, uniqueItems: true } as const;

/** Left out or null: not limited by this one. */
export const grantFields = {
  providers: orAny(
    Type.Array(ProviderName, { ...noMember, maxItems: 32 }),
    'providers that its jobs may use; null: all',
  ),
  roots: orAny(
    Type.Array(Type.String({ pattern: '^/[^\\u0000]*$', maxLength: 4096 }), { ...noMember, maxItems: 32 }),
    'absolute folders in which its jobs may run, besides what the settings say; null: all',
  ),
  tools: orAny(
    Type.Array(ToolPattern, { maxItems: 64, uniqueItems: true }),
    'patterns of the tools that its jobs may allow, as in `allowedTools`; empty: none; null: all',
  ),
  permissionModes: orAny(
    Type.Array(PermissionMode, { ...noMember, maxItems: 4 }),
    'permission modes that its jobs may have; null: all',
  ),
};

export interface Grant {
  readonly providers: readonly string[] | null;
  readonly roots: readonly string[] | null;
  readonly tools: readonly string[] | null;
  readonly permissionModes: readonly PermissionMode[] | null;
  /** 0: of a caller from outside; 1 and more: of a job that was made from inside a job. */
  readonly depth: number;
}

/** Of a caller that only the settings limit. */
export const OPEN_GRANT: Grant = {
  providers: null,
  roots: null,
  tools: null,
  permissionModes: null,
  depth: 0,
};

const amount = (description: string) =>
  orAny(Type.Integer({ minimum: 1, maximum: 1_000_000_000 }), description);

/** Left out or null: not limited. */
export const limitFields = {
  requestsPerMinute: amount('requests a minute; null: any number'),
  jobsPerHour: amount('jobs that it may make an hour; null: any number'),
  maxQueued: amount('its jobs that have not started; null: any number'),
  maxRunning: amount('its jobs that run at the same time; null: any number'),
  usdPerDay: orAny(
    Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }),
    'USD that its jobs may cost a day (UTC); null: any amount',
  ),
};
const CallerLimits = Type.Object(limitFields);
export type CallerLimits = Readonly<Static<typeof CallerLimits>>;

const someLimits = Type.Partial(Type.Object(limitFields)).properties;
const { jobsPerHour: _, ...ofJwts } = someLimits;

/** The settings file's limits of projects, by name. What each caller has holds as well. */
const ProjectLimits = Type.Record(Type.String(), Type.Object(someLimits, closed), {
  default: {},
  propertyNames: ProjectName,
});
/** Those of each principal with a JWT. Jobs an hour are a setting of their own. */
export const JwtLimits = Type.Object(ofJwts, { ...closed, default: {} });

/** Settings that only the file can hold. */
export const callerSettings = { projectLimits: ProjectLimits, jwtLimits: JwtLimits } as const;

export const NO_LIMITS: CallerLimits = {
  requestsPerMinute: null,
  jobsPerHour: null,
  maxQueued: null,
  maxRunning: null,
  usdPerDay: null,
};
