/** When a job waited and ran, and what its executions used, by its events. */
import type { SessionStoredEvent, StoredEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';

type JobEvent = Extract<StoredEvent | SessionStoredEvent, { readonly jobId: string }>;

/** What the job did from then on. */
export interface Phase {
  readonly jobId: string;
  readonly kind: 'queued' | 'scheduled' | 'waiting' | 'running' | 'finished';
  readonly at: string;
  readonly waitReason: string | null;
  readonly executionId: string | null;
}

/** Null: the event begins no phase. */
export function phaseOf(event: JobEvent): Phase | null {
  const { jobId, at } = event;
  const common = { jobId, at, waitReason: null, executionId: null };
  switch (event.kind) {
    case 'job.queued':
      return { ...common, kind: 'queued' };
    case 'job.scheduled':
      return { ...common, kind: 'scheduled', waitReason: event.waitReason };
    case 'job.waiting':
      return { ...common, kind: 'waiting', waitReason: event.waitReason };
    case 'job.running':
      return { ...common, kind: 'running', executionId: event.executionId };
    case 'job.finished':
      return { ...common, kind: 'finished' };
    default:
      return null;
  }
}

/** What an execution has used so far, or in all. Null: the event does not say. */
export const usageIn = (event: JobEvent): Usage | null =>
  event.kind === 'usage' ? event.usage : event.kind === 'execution.finished' ? event.outcome.usage : null;

/** What executions have used together, as the outcome of their job will show it; null: nothing. */
export function sumOfUsages(usages: Iterable<Usage>): Usage | null {
  return [...usages].reduce<Usage | null>((sum, one) => {
    if (sum === null) return one;
    const bases = [sum.costBasis, one.costBasis];
    return {
      inputTokens: sum.inputTokens + one.inputTokens,
      outputTokens: sum.outputTokens + one.outputTokens,
      cacheReadTokens: sum.cacheReadTokens + one.cacheReadTokens,
      cacheWriteTokens: sum.cacheWriteTokens + one.cacheWriteTokens,
      costUsd: sum.costUsd === null && one.costUsd === null ? null : (sum.costUsd ?? 0) + (one.costUsd ?? 0),
      costBasis: (['unknown', 'estimated'] as const).find((basis) => bases.includes(basis)) ?? 'reported',
    };
  }, null);
}
