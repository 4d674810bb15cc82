/** When a job waited and ran, by its events. */
import type { SessionStoredEvent, StoredEvent } from '../../protocol/event.ts';

/** What the job did from then on. */
export interface Phase {
  readonly jobId: string;
  readonly kind: 'queued' | 'scheduled' | 'waiting' | 'running' | 'finished';
  readonly at: string;
  readonly waitReason: string | null;
  readonly executionId: string | null;
}

/** Null: the event begins no phase. */
export function phaseOf(
  event: Extract<StoredEvent | SessionStoredEvent, { readonly jobId: string }>,
): Phase | null {
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
