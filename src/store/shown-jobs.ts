/** The state of jobs as callers see it, in SQL: a queued job may stand behind a closed gate. */
import type { DatabaseSync } from 'node:sqlite';
import { type ClosedGates, type GatedJob, shownState } from '../protocol/gates.ts';

/** An argument of reads that show jobs. */
export interface Gated {
  /** null or left out: no gate is closed. */
  readonly gates?: ClosedGates | null;
}

/** The gates of the read that runs now. A read is never interrupted. */
let closed: ClosedGates | null = null;

const JOB = `jobs.project, jobs.principal, jobs.provider, jobs.model, jobs.pin,
  CASE WHEN json_valid(jobs.request) THEN jobs.request ->> '$.priority' END,
  CASE WHEN json_valid(jobs.request) THEN jobs.request ->> '$.onQuota' END`;
const QUEUED = `jobs.status = 'queued' AND jobs.wait_reason IS NULL`;
const BEHIND_GATES = {
  status: `CASE WHEN ${QUEUED} THEN shown_status(${JOB}) ELSE jobs.status END`,
  waitReason: `CASE WHEN ${QUEUED} THEN shown_wait_reason(${JOB}) ELSE jobs.wait_reason END`,
  scheduledFor: `CASE WHEN ${QUEUED} THEN shown_time(${JOB}) ELSE jobs.scheduled_for END`,
};
const AS_STORED = {
  status: 'jobs.status',
  waitReason: 'jobs.wait_reason',
  scheduledFor: 'jobs.scheduled_for',
};

/** Expressions for the shown state of the job in `jobs`, for a read that runs at once. */
export function shown({ gates = null }: Gated): typeof AS_STORED {
  closed = gates;
  return gates === null ? AS_STORED : BEHIND_GATES;
}

/** Adds the functions that the expressions need to a database. */
export function addShownState(db: DatabaseSync): void {
  const add = (name: string, field: 'status' | 'waitReason' | 'scheduledFor'): void => {
    db.function(name, { directOnly: true }, (project, principal, provider, model, pin, priority, onQuota) => {
      const job: GatedJob = {
        ...{ status: 'queued', waitReason: null, scheduledFor: null },
        project: String(project),
        principal: String(principal),
        provider: String(provider),
        model: model === null ? null : String(model),
        priority: Number(priority),
        pin: pin === null ? null : String(pin),
        failsAtLimit: onQuota === 'fail',
      };
      return shownState(closed, job)[field];
    });
  };
  add('shown_status', 'status');
  add('shown_wait_reason', 'waitReason');
  add('shown_time', 'scheduledFor');
}
