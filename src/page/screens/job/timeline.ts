/** A job's life as spans: what it waited for, and when it ran. */
import type { Job } from '../../../protocol/job.ts';
import type { Execution } from '../../../protocol/outcome.ts';
import type { Phase } from '../../transcript/phases.ts';

export interface Span {
  readonly kind: 'wait' | 'run';
  readonly label: string;
  readonly fromMs: number;
  /** Of the last span of a job that has not ended: now. */
  readonly toMs: number;
  /** Of a run: the status of its execution. */
  readonly status: Execution['status'] | null;
}

const WAITS: Readonly<Record<string, string>> = {
  delayed: 'Waited for its time',
  backoff: 'Waited before the next attempt',
  quota: 'Waited for a usage limit',
  budget: 'Waited for the budget',
  approval: 'Waited for an approval',
};

/** @param nowMs the end of what has not ended */
export function timelineOf(
  job: Job,
  phases: readonly Phase[],
  executions: readonly Execution[],
  nowMs: number,
): readonly Span[] {
  const endMs = job.finishedAt === null ? nowMs : Date.parse(job.finishedAt);
  if (phases.length === 0) return spansOfExecutions(job, executions, endMs);
  const spans = phases.flatMap((phase, index): Span[] => {
    if (phase.kind === 'finished') return [];
    const next = phases[index + 1];
    const times = { fromMs: Date.parse(phase.at), toMs: next === undefined ? endMs : Date.parse(next.at) };
    if (phase.kind !== 'running')
      return [
        {
          ...times,
          kind: 'wait',
          label: WAITS[phase.waitReason ?? ''] ?? 'Waited for its turn',
          status: null,
        },
      ];
    const execution = executions.find(({ id }) => id === phase.executionId);
    const attempt = execution === undefined ? '' : ` ${execution.attempt}`;
    return [{ ...times, kind: 'run', label: `Execution${attempt}`, status: execution?.status ?? 'running' }];
  });
  return spans.map((span) => ({ ...span, toMs: Math.max(span.toMs, span.fromMs) }));
}

/** Where the events are gone, the executions are left. */
function spansOfExecutions(job: Job, executions: readonly Execution[], endMs: number): readonly Span[] {
  let atMs = Date.parse(job.createdAt);
  return executions.flatMap(({ startedAt, endedAt, status, attempt }): Span[] => {
    if (startedAt === null) return [];
    const fromMs = Date.parse(startedAt);
    const toMs = endedAt === null ? endMs : Date.parse(endedAt);
    const wait: Span = { kind: 'wait', label: 'Waited', fromMs: atMs, toMs: fromMs, status: null };
    atMs = toMs;
    return [wait, { kind: 'run', label: `Execution ${attempt}`, fromMs, toMs, status }];
  });
}
