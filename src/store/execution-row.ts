import type { ExecutionIntent, ExecutionRow } from './rows.ts';

/** The selected columns of an execution, under the names of its type. */
export const executionColumns = `execution_id AS executionId, job_id AS jobId, attempt, boot_id AS bootId,
  provider, state, pid, created_at AS createdAt, started_at AS startedAt, ended_at AS endedAt, outcome, delivery`;

export interface ExecutionColumns extends ExecutionIntent {
  readonly state: ExecutionRow['state'];
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly outcome: string | null;
  readonly delivery: string | null;
}

/** A row of `executions` as the state it is in. */
export function toExecution(columns: ExecutionColumns): ExecutionRow {
  const { outcome, delivery, endedAt, ...rest } = columns;
  const row = {
    ...rest,
    ...(endedAt === null ? {} : { endedAt, outcome: outcome === null ? null : JSON.parse(outcome) }),
    ...(delivery === null ? {} : { delivery: JSON.parse(delivery) }),
  };
  // as: the operations of executions.ts write exactly the columns that are legal in each state.
  return row as ExecutionRow;
}
