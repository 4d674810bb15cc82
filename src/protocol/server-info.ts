/** What a server tells of its CLIs, of what runs and of what waits. */

import { type Static, Type } from 'typebox';
import { nullable } from './schema.ts';

const nullableText = nullable(Type.String());

/** A CLI: whether it is there, logged in, and able to do what. */
export const ProviderReport = Type.Object({
  name: Type.String(),
  available: Type.Boolean(),
  version: nullableText,
  binary: nullableText,
  authenticated: Type.Enum(['yes', 'no', 'unknown']),
  why: nullableText,
  todo: nullable(Type.String(), {
    description: 'what a person has to do before its jobs can succeed',
  }),
  circuit: Type.Enum(['closed', 'open', 'half_open'], {
    description: 'after a refused login: open refuses jobs at once, half_open lets one try',
  }),
  circuitOpenUntil: nullable(Type.String(), {
    description: 'RFC 3339: when the next job may try; null: any time',
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

/** One execution that runs on a node now, as it was measured last. */
export const RunningExecution = Type.Object({
  executionId: Type.String(),
  jobId: Type.String(),
  attempt: Type.Integer(),
  provider: Type.String(),
  pid: Type.Integer(),
  startedAt: Type.String({ description: 'RFC 3339' }),
  ageMs: Type.Number(),
  idleMs: Type.Number({ description: 'since its last event' }),
  memoryBytes: measured('resident memory of all its processes; null before the first look at them'),
  cpuSeconds: measured('CPU time of all its processes'),
  openFiles: measured('open files of all its processes'),
  processes: measured('how many there are'),
});
export type RunningExecution = Static<typeof RunningExecution>;

/** A CLI process that runs nothing and waits for a prompt. */
export const WaitingProcessReport = Type.Object({
  provider: Type.String(),
  pid: Type.Integer(),
  cwd: Type.String({ description: 'real path it was started in' }),
  sessionId: nullable(Type.String(), {
    description: 'whose next turn it waits for; null: for any job that would be started like it',
  }),
  waitingMs: Type.Number({ description: 'since its boot began, or its last turn ended' }),
  memoryBytes: measured('resident memory'),
});
export type WaitingProcessReport = Static<typeof WaitingProcessReport>;
