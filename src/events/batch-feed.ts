/**
 * The events of a batch: the changes of its jobs, and its counts after each group of changes. It
 * ends when every job has ended and the reader has all changes up to the time of its call.
 */
import { maySee, type Principal } from '../auth/principal.ts';
import type { BatchFeed, ChangeFeed } from '../http/ports.ts';
import type { BatchChange, JobChange } from '../protocol/change.ts';
import { isFinished, JOB_STATUSES, type JobStatus } from '../protocol/job.ts';
import type { ChangeLog } from '../records/change-log.ts';
import { streamIdBefore } from '../store/copy-source.ts';

export interface BatchFeedOptions {
  readonly changes: Pick<ChangeFeed, 'follow'>;
  readonly log: Pick<ChangeLog, 'newest'>;
  /** @throws AppError batch.not_found */
  find(
    principal: Principal,
    id: string,
  ): Promise<{ readonly jobs: readonly { readonly id: string; readonly status: JobStatus }[] }>;
}

export function createBatchFeed({ changes, log, find }: BatchFeedOptions): BatchFeed {
  return {
    async *read(principal, id, after, signal) {
      const newest = await log.newest();
      let states: Map<string, JobStatus> | null = null;
      let sent = false;
      for await (const { cursor, entries } of changes.follow(after, signal)) {
        const opening = states === null;
        // Read after the reader has joined the log, so that no change is missed between the two.
        states ??= new Map((await find(principal, id)).jobs.map((job) => [job.id, job.status]));
        const jobs = entries.flatMap(({ change, project }) =>
          change?.batchId === id && maySee(principal, project) ? [change] : [],
        );
        for (const change of jobs) apply(states, change);
        const over = [...states.values()].every(isFinished);
        const finished = over && !streamIdBefore(cursor, newest);
        // A reader that resumes at the end of a finished batch gets nothing.
        const greets = opening && (after === null || !over);
        if (jobs.length > 0 || greets || (finished && sent)) {
          sent = true;
          yield [...jobs, countsOf(cursor, id, states, finished)];
        }
        if (finished) return;
      }
    },
  };
}

/** An ended job stays ended, although the log may still tell of the time before. */
function apply(states: Map<string, JobStatus>, { kind, jobId, status }: JobChange): void {
  if (kind === 'job.deleted') states.delete(jobId);
  else if (!isFinished(states.get(jobId) ?? 'queued')) states.set(jobId, status);
}

function countsOf(
  cursor: string,
  batchId: string,
  states: ReadonlyMap<string, JobStatus>,
  finished: boolean,
): BatchChange {
  const all = [...states.values()];
  const counts = JOB_STATUSES.map((wanted) => [wanted, all.filter((status) => status === wanted).length]);
  return {
    ...{ cursor, kind: finished ? 'batch.finished' : 'batch.changed', at: new Date().toISOString(), batchId },
    ...{ total: states.size, counts: Object.fromEntries(counts) as BatchChange['counts'] }, // as: one for each status
  };
}
