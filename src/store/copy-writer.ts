import type { Damage, ReportDamage } from '../damage.ts';
import { AppError, isDamage, messageOf, wireError } from '../errors.ts';
import { isFinished } from '../protocol/job.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { CopiesApplied, CopyChanges } from './copies.ts';
import type { JobCopy } from './jobs.ts';
import type { Store } from './store.ts';

const DAMAGED = jobOutcome('failed', wireError('record.damaged', 'the record of the job cannot be read'));

/** Whether the database works but the statement failed. */
const isFault = (error: unknown): error is AppError =>
  error instanceof AppError && error.code === 'internal.error';

/** Writes copies so that a job that cannot be stored or read does not hold up the others. */
export function createCopyWriter(store: Store, report: ReportDamage) {
  const apply = (changes: CopyChanges): Promise<CopiesApplied> => store.run('copies.apply', changes);

  /** Writes one thing; reports it when it cannot be stored. */
  async function alone(what: Pick<Damage, 'kind' | 'id'>, changes: Partial<CopyChanges>): Promise<void> {
    try {
      await apply({ jobs: [], removed: [], cursor: null, ...changes });
    } catch (error) {
      if (!isFault(error)) throw error;
      report({ ...what, why: `it cannot be copied: ${messageOf(error.cause)}` });
    }
  }

  return {
    /** Writes all changes at once, else job by job. */
    async write({
      jobs,
      removed,
      cursor,
      events,
      batches,
      patches,
      audit,
      sessions,
      removedSessions,
      approvals,
    }: Required<CopyChanges>): Promise<Pick<CopiesApplied, 'ended' | 'auditHead'>> {
      try {
        const more = { sessions, removedSessions, approvals };
        return await apply({ jobs, removed, cursor, events, batches, patches, audit, ...more });
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
          ended.push(...(await apply({ ...own, removed: [], cursor: null })).ended);
        } catch (error) {
          if (!isFault(error)) throw error;
          report({ kind: 'job', id, why: `it cannot be copied: ${messageOf(error.cause)}` });
        }
      }
      for (const session of sessions)
        await alone({ kind: 'session', id: session.record.id }, { sessions: [session] });
      for (const approval of approvals)
        await alone({ kind: 'approval', id: approval.id }, { approvals: [approval] });
      const rest = await apply({ jobs: [], removed, cursor, batches, patches, audit, removedSessions });
      return { ended: [...ended, ...rest.ended], auditHead: rest.auditHead };
    },

    /** For an ended job without a readable record: its copy as failed, unless that has ended. */
    async failedCopy(id: string, now: number): Promise<JobCopy[]> {
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
