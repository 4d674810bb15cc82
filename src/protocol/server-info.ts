/** What a server reports about its CLIs and their processes. */

import { type Static, Type } from '#typebox';
import { ProviderName } from './prompt.ts';
import { closed, nullable } from './schema.ts';

const nullableText = nullable(Type.String());

/**
 * A login of a provider. With `|` and a word behind its name: for models with this word in theirs.
 */
export const CredentialReport = Type.Object({
  name: Type.String(),
  status: Type.Enum(['ok', 'limited', 'refused', 'paused'], {
    description:
      'limited: a usage limit is reached, and its jobs wait; refused: the vendor refused the login, and its jobs fail at once; paused: the queue or the provider is paused by hand',
  }),
  limitedUntil: nullable(Type.String(), {
    description: 'RFC 3339: when one job tries again; null: any time, or when it is opened by hand',
  }),
});
export type CredentialReport = Static<typeof CredentialReport>;

/** A CLI: whether it is installed and logged in, and what it can do. */
/** What the host that runs a provider's CLI knows of it. */
export const CliReport = Type.Object({
  name: Type.String(),
  available: Type.Boolean(),
  version: nullableText,
  binary: nullableText,
  authenticated: Type.Enum(['yes', 'no', 'unknown']),
  why: nullableText,
  todo: nullable(Type.String(), {
    description: 'what a person must do before its jobs can succeed',
  }),
});
export type CliReport = Static<typeof CliReport>;

export const ProviderReport = Type.Object({
  ...CliReport.properties,
  credentials: Type.Array(CredentialReport, {
    description: 'the logins that its jobs use, on all nodes',
  }),
  running: Type.Integer({ description: 'executions it runs now, as a fallback too' }),
  concurrency: nullable(Type.Integer(), {
    description: "executions at once; null: only the server's limit",
  }),
  fallback: nullable(Type.String(), {
    description: 'provider that runs its jobs when its CLI is missing',
  }),
  capabilities: Type.Record(Type.String(), Type.Unknown()),
});
export type ProviderReport = Static<typeof ProviderReport>;

const measured = (description: string) => nullable(Type.Number(), { description });

/** A process of a CLI on a node, with its last measurement. */
export const CliProcess = Type.Object({
  id: Type.String({ description: 'ULID; of a running one: of its execution' }),
  state: Type.Enum(['running', 'idle'], {
    description: 'it runs a job or a terminal, or waits for a prompt',
  }),
  provider: Type.String(),
  pid: Type.Integer(),
  alive: Type.Boolean({
    description: 'whether it lives; false: it has ended, and what follows from that is not done yet',
  }),
  jobId: nullable(Type.String(), { description: 'the job it runs; null: none, or it is a terminal' }),
  attempt: nullable(Type.Integer(), { description: 'of the job' }),
  sessionId: nullable(Type.String(), {
    description:
      'of its job, its terminal, or the one whose next turn it waits for; null: any job with the same options',
  }),
  cwd: Type.String({ description: 'its working directory' }),
  since: Type.String({ description: 'RFC 3339: when it was given its job, or began to wait' }),
  ageMs: Type.Number({ description: 'from then on' }),
  idleMs: Type.Number({ description: 'since its last event' }),
  memoryBytes: measured('resident memory of all its processes; null before the first measurement'),
  cpuSeconds: measured('CPU time of all its processes; of an idle one this and the next two are its own'),
  openFiles: measured('open files of all its processes'),
  processes: measured('number of its processes'),
});
export type CliProcess = Static<typeof CliProcess>;

/** How many processes of a list live. */
export const ProcessSummary = Type.Object({
  total: Type.Integer({ description: 'alive + dead' }),
  alive: Type.Integer(),
  dead: Type.Integer({ description: 'they have ended, and what follows from that is not done yet' }),
});

/** Answer of `GET /v1/processes`. */
export interface ProcessList {
  readonly data: readonly CliProcess[];
  readonly summary: Static<typeof ProcessSummary>;
}

/** Body of `POST /v1/queue/pause` and `/resume`: which jobs. Without a name: all. */
export const PauseScope = Type.Object(
  {
    provider: Type.Optional(ProviderName),
    project: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: 'name of a project' })),
  },
  { ...closed, examples: [{}, { provider: 'claude' }] },
);
export type PauseScope = Static<typeof PauseScope>;

/** Jobs that are not started because a person has paused them. */
export const Pause = Type.Object({
  provider: nullable(Type.String(), { description: 'jobs of this provider' }),
  project: nullable(Type.String(), { description: 'jobs of this project; both null: all jobs' }),
  since: Type.String({ description: 'RFC 3339' }),
});
export type Pause = Static<typeof Pause>;

/** A server on this Redis. */
export const Node = Type.Object({
  id: Type.String({ description: 'ULID' }),
  status: Type.Enum(['ok', 'drained'], { description: 'drained: it starts no more jobs' }),
  lastSeenAt: nullable(Type.String(), { description: 'RFC 3339; null: it has stopped' }),
  running: Type.Integer({ description: 'executions that run there' }),
  given: Type.Integer({ description: 'jobs that are on their way to it' }),
  free: nullable(Type.Integer(), { description: 'free slots; null: it takes no jobs now' }),
});
export type Node = Static<typeof Node>;

/** A setting as it is in force. */
export const SettingInForce = Type.Object({
  name: Type.String({ description: 'its name in the settings file' }),
  variable: nullable(Type.String(), { description: 'its environment variable; null: it has none' }),
  value: Type.Unknown({ description: 'secrets are `[redacted]`' }),
  source: Type.Enum(['default', 'environment', 'file'], { description: 'where it was set' }),
});
export type SettingInForce = Static<typeof SettingInForce>;
