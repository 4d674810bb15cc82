import { wireError } from '../errors.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import { readable } from './damaged-rows.ts';
import type { ExecutionIntent, ExecutionRow, OutcomeDelivery } from './rows.ts';

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

const DAMAGED = jobOutcome(
  'failed',
  wireError('record.damaged', 'the ledger’s outcome of it cannot be read'),
);
const NOTHING: OutcomeDelivery = { from: 0, tail: [], backoffMs: null, rawAnswer: null };

/** A row of `executions` as the state it is in. */
export function toExecution(columns: ExecutionColumns): ExecutionRow {
  const { outcome, delivery, endedAt, ...rest } = columns;
  const id = `execution ${rest.executionId}`;
  /** An outcome that cannot be read is delivered as record.damaged: its job must not wait for ever. */
  const read = <T>(text: string, otherwise: T): T => readable(id, (): T => JSON.parse(text))[0] ?? otherwise;
  const row = {
    ...rest,
    ...(endedAt === null ? {} : { endedAt, outcome: outcome === null ? null : read(outcome, DAMAGED) }),
    ...(delivery === null ? {} : { delivery: read(delivery, NOTHING) }),
  };
  // as: the operations of executions.ts write exactly the columns that are legal in each state.
  return row as ExecutionRow;
}
