/**
 * What every row of the table does and checks: a job with a fault, and a job beside it that must
 * not notice.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import type { ErrorCode } from '../../../src/errors.ts';
import { ERROR_CODES } from '../../../src/errors.ts';
import type { StoredEvent } from '../../../src/protocol/event.ts';
import type { Job } from '../../../src/protocol/job.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../../helpers/fake-cli.ts';
import { commandLine, isAlive } from '../../helpers/proc.ts';
import type { SharedSystem } from './shared-system.ts';

/** For what a noisy machine may delay. */
export const PATIENCE = { timeoutMs: 30_000 };

export type Request = Record<string, unknown> & { prompt: string };

/** A job that has ended, with its events. */
export interface Ended {
  readonly job: Job;
  readonly events: readonly StoredEvent[];
  /** The processes the fake CLI says it has started. */
  readonly children: readonly number[];
}

let barriers = 0;
/** A new file name that is not used yet. */
export const barrier = (system: SharedSystem): string => {
  barriers += 1;
  return system.path(`barrier-${barriers}`);
};

export const open = (file: string): void => writeFileSync(file, '');

/** Waits for a barrier file of the fake CLI. */
export const reached = (file: string): Promise<unknown> => eventually(() => existsSync(file), PATIENCE);

interface Neighbour {
  readonly id: string;
  readonly go: string;
}
let neighbour: Neighbour | null = null;

/** Starts the job that runs beside all others. */
export async function startNeighbour(system: SharedSystem): Promise<void> {
  const [started, go] = [barrier(system), barrier(system)];
  const steps = [{ delta: 'one ' }, { touch: started }, { waitFor: go }, { delta: 'two' }];
  neighbour = { id: await system.submit({ prompt: fakePrompt(steps) }), go };
  await reached(started);
}

/** Lets it end: it has noticed nothing. */
export async function endNeighbour(system: SharedSystem): Promise<void> {
  const { id, go } = neighbour ?? expect.unreachable();
  open(go);
  expect(await system.finished(id)).toMatchObject({
    status: 'succeeded',
    attempts: 1,
    outcome: { text: 'one two', exit: { code: 0, signal: null } },
  });
}

/** Runs `fault` while the other job runs, and goes on running. */
export async function besideAnother<T>(system: SharedSystem, fault: () => Promise<T>): Promise<T> {
  const { id } = neighbour ?? expect.unreachable();
  const result = await fault();
  expect(await system.job(id)).toMatchObject({ status: 'running', attempts: 1 });
  return result;
}

/**
 * Runs a job to its end beside another one, and checks what must hold after any fault: it has ended
 * once, its events are numbered without a gap, and nothing of it is alive (a zombie is not).
 */
export const run = (
  system: SharedSystem,
  request: Request,
  during?: (id: string) => Promise<void>,
): Promise<Ended> =>
  besideAnother(system, async () => {
    const id = await system.submit(request);
    await during?.(id);
    return ended(system, id);
  });

/** The same checks for a job that was submitted already. */
export async function ended(system: SharedSystem, id: string): Promise<Ended> {
  const job = await system.finished(id);
  const events = await eventsOf(system, id);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(events.filter(({ kind }) => kind === 'job.finished')).toHaveLength(1);
  expect(events.at(-1)).toMatchObject({ kind: 'job.finished', job: { id, status: job.status } });
  expect(await system.job(id)).toEqual(job);
  const executions = events.flatMap((event) => (event.kind === 'job.running' ? [event.executionId] : []));
  expect(executions).toHaveLength(job.attempts);
  const pids = journalOf(system.journal, 'start')
    .filter(({ marker }) => executions.some((execution) => marker?.endsWith(`/${execution}`)))
    .map(({ pid }) => pid);
  const children = journalOf(system.journal, 'spawned')
    .filter(({ pid }) => pids.includes(pid))
    .map(({ child }) => child);
  await eventually(() => {
    expect(executions.flatMap((execution) => system.marked(execution))).toEqual([]);
    // By its command line: its number may be another process's by now.
    expect(pids.filter((pid) => isAlive(pid) && commandLine(pid)?.includes('fake-cli'))).toEqual([]);
  }, PATIENCE);
  return { job, events, children };
}

/** Waits until a job that may be tried again waits for that. */
export const scheduledAgain = (system: SharedSystem, id: string): Promise<Job> =>
  eventually(async () => {
    const job = await system.job(id);
    return job.status === 'scheduled' && job.attempts > 0 ? job : null;
  }, PATIENCE);

/** Of a finished job: the stream of another one would not end. */
export async function eventsOf(system: SharedSystem, id: string): Promise<StoredEvent[]> {
  const response = await system.api('GET', `/v1/jobs/${id}/events?raw=true`);
  expect(response.status).toBe(200);
  const lines = (await response.text()).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as StoredEvent); // the documented events
}

/**
 * A job that failed with this code, which is retryable as the table of codes says, unless set
 * otherwise.
 * @param exit null: nothing was started; undefined: of no importance
 */
export const failed = (
  code: ErrorCode,
  exit: { code: number | null; signal: string | null } | null | undefined,
  retryable: boolean = ERROR_CODES[code].retryable,
): object => ({
  status: 'failed',
  outcome: { error: { code, retryable }, ...(exit === undefined ? {} : { exit }) },
});

export const succeeded = (text: string): object => ({ status: 'succeeded', outcome: { text, error: null } });

export const KILLED = { code: null, signal: 'SIGKILL' };
export const exited = (code: number): { code: number; signal: null } => ({ code, signal: null });

/** The lines no provider knows. */
export const rawLines = (events: readonly StoredEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'raw' ? [event.line] : []));

export const warnings = (events: readonly StoredEvent[]): string[] =>
  events.flatMap((event) => (event.kind === 'warning' ? [event.code] : []));

/** Signals the fake CLIs of a job have got, in order. */
export const signalsOf = (system: SharedSystem, events: readonly StoredEvent[]): string[] => {
  const pids = events.flatMap((event) => (event.kind === 'execution.started' ? [event.pid] : []));
  return journalOf(system.journal, 'signal')
    .filter(({ pid }) => pids.includes(pid))
    .map(({ signal }) => signal);
};
