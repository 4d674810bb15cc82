/** Writes what the log brings, so that a job that cannot be written or read costs itself alone. */
import type { ReportDamage } from '../damage.ts';
import { AppError, isDamage, messageOf, wireError } from '../errors.ts';
import { isFinished } from '../protocol/job.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { Projection } from './project-jobs.ts';
import type { ProjectedJob } from './rows.ts';
import type { Store } from './store.ts';

const DAMAGED = jobOutcome('failed', wireError('record.damaged', 'the record of the job cannot be read'));

/** The ledger itself works, and what was asked of it does not. */
const isFault = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'internal.error';

export interface ProjectionWriter {
  /** As a whole or, where that cannot be, job by job. Gives the ids of jobs that have ended with it. */
  write(projection: Required<Projection>): Promise<readonly string[]>;
  /** The copy of a job that has ended and whose record cannot be read: as failed, unless it had ended before. */
  endedCopy(id: string, now: number): Promise<ProjectedJob[]>;
}

export function createProjectionWriter(store: Store, report: ReportDamage): ProjectionWriter {
  const project = async (projection: Projection): Promise<readonly string[]> =>
    (await store.run('jobs.project', projection)).ended;

  return {
    async write({ jobs, removed, cursor, events }) {
      try {
        return await project({ jobs, removed, cursor, events });
      } catch (error) {
        if (!isFault(error)) throw error;
      }
      const ended: string[] = [];
      for (const id of new Set([...jobs.map((job) => job.id), ...events.map(({ jobId }) => jobId)])) {
        const own = {
          jobs: jobs.filter((job) => job.id === id),
          events: events.filter((one) => one.jobId === id),
        };
        try {
          ended.push(...(await project({ ...own, removed: [], cursor: null })));
        } catch (error) {
          if (!isFault(error)) throw error;
          report({ kind: 'job', id, why: `it cannot be copied: ${messageOf(error.cause)}` });
        }
      }
      return [...ended, ...(await project({ jobs: [], removed, cursor }))];
    },

    async endedCopy(id, now) {
      const copy = await store.run('jobs.get', { id }).catch((error: unknown) => {
        if (isDamage(error)) return null;
        throw error;
      });
      if (copy === null || isFinished(copy.status)) return [];
      const at = new Date(now).toISOString();
      const ended = { status: 'failed', outcome: DAMAGED, finishedAt: at, updatedAt: at } as const;
      return [{ ...copy, ...ended, rev: copy.rev + 1, waitReason: null, scheduledFor: null }];
    },
  };
}
