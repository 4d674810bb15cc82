import type { ExecutionIntent, ExecutionRow } from './rows.ts';

/** The selected columns of an execution, under the names of its type. */
export const executionColumns = `execution_id AS executionId, job_id AS jobId, attempt, epoch, boot_id AS bootId,
  provider, state, pid, created_at AS createdAt, started_at AS startedAt, ended_at AS endedAt, outcome, tail`;

export interface ExecutionColumns extends ExecutionIntent {
  readonly state: ExecutionRow['state'];
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly outcome: string | null;
  readonly tail: string;
}

/** A row of `executions` as the state it is in. */
export function toExecution(columns: ExecutionColumns): ExecutionRow {
  const { outcome, tail, endedAt, ...rest } = columns;
  const settled = rest.state === 'delivered' || rest.state === 'superseded';
  const row = {
    ...rest,
    ...(endedAt === null ? {} : { endedAt, outcome: outcome === null ? null : JSON.parse(outcome) }),
    ...(endedAt === null || settled ? {} : { tail: JSON.parse(tail) }),
  };
  // as: the operations of executions.ts write exactly the columns that are legal in each state.
  return row as ExecutionRow;
}
