/** What a server reports about its CLIs, running executions and idle processes. */

import { type Static, Type } from 'typebox';
import { nullable } from './schema.ts';

const nullableText = nullable(Type.String());

/** A CLI: whether it is installed and logged in, and what it can do. */
export const ProviderReport = Type.Object({
  name: Type.String(),
  available: Type.Boolean(),
  version: nullableText,
  binary: nullableText,
  authenticated: Type.Enum(['yes', 'no', 'unknown']),
  why: nullableText,
  todo: nullable(Type.String(), {
    description: 'what a person must do before its jobs can succeed',
  }),
  circuit: Type.Enum(['closed', 'open', 'half_open'], {
    description: 'after a refused login: open refuses jobs at once, half_open lets one job try',
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

/** An execution that runs on a node now, with its last measurement. */
export const RunningExecution = Type.Object({
  executionId: Type.String(),
  jobId: Type.String(),
  attempt: Type.Integer(),
  provider: Type.String(),
  pid: Type.Integer(),
  startedAt: Type.String({ description: 'RFC 3339' }),
  ageMs: Type.Number(),
  idleMs: Type.Number({ description: 'since its last event' }),
  memoryBytes: measured('resident memory of all its processes; null before the first measurement'),
  cpuSeconds: measured('CPU time of all its processes'),
  openFiles: measured('open files of all its processes'),
  processes: measured('number of its processes'),
});
export type RunningExecution = Static<typeof RunningExecution>;

/** An idle process: it runs nothing and waits for a prompt. */
export const IdleProcessReport = Type.Object({
  provider: Type.String(),
  pid: Type.Integer(),
  cwd: Type.String({ description: 'real path of its working directory' }),
  sessionId: nullable(Type.String(), {
    description: 'the session whose next turn it waits for; null: any job with the same options',
  }),
  waitingMs: Type.Number({ description: 'since its boot began, or its last turn ended' }),
  memoryBytes: measured('resident memory'),
});
export type IdleProcessReport = Static<typeof IdleProcessReport>;
