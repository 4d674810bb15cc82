/** The executor's {@link Ledger}, kept in the store. */
import type { Ledger, LedgerEntry } from '../executor/ports.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Finish } from '../records/ports.ts';
import type { ExecutionRow, OutcomeDelivery, SubmittedAs } from './executions.ts';
import type { Store } from './store.ts';

/** The outbox only grows while Redis is away. */
const OUTBOX_LIMIT = 1000;

/**
 * @param submittedAs of an executor on another host than its servers: as what an execution was
 *   submitted. Then the ledger also keeps what the CLIs reported beside their outcomes.
 */
export function createLedger(
  store: Pick<Store, 'run'>,
  bootId: string,
  submittedAs?: (executionId: string) => SubmittedAs | null,
): Ledger {
  const now = (): string => new Date().toISOString();
  return {
    async intend(claim) {
      const { executionId, jobId, attempt, request } = claim;
      const row = {
        ...{ executionId, jobId, attempt, bootId, provider: request.provider, at: now() },
        submission: submittedAs?.(executionId) ?? null,
      };
      return (await store.run('executions.intent', row)).inserted;
    },
    async started(executionId, pid) {
      await store.run('executions.started', { executionId, pid, at: now() });
    },
    async ended(finish, sessionTokens = null) {
      const { executionId, outcome, earlierUsage = null, ...rest } = finish;
      const { from, tail, backoffMs, quotaMs = null, parked = false, rawAnswer, reported = null } = rest;
      const delivery = { earlierUsage, from, tail, backoffMs, quotaMs, parked, rawAnswer, reported };
      await store.run('executions.ended', { executionId, outcome, delivery, sessionTokens, at: now() });
    },
    async delivered(executionId, superseded) {
      const keepReported = submittedAs !== undefined;
      await store.run('executions.delivered', { executionId, superseded, keepReported });
    },
    async find({ jobId, attempt, executionId }) {
      const row = await store.run('executions.find', { jobId, attempt });
      if (row !== null) return toEntry(row);
      const job = await store.run('jobs.get', { id: jobId });
      if (job === null || job.outcome === null) return null;
      return { executionId, jobId, finish: toFinish({ jobId, executionId, outcome: job.outcome }) };
    },
    async open() {
      const unsettled = await store.run('executions.unsettled', {});
      const outbox = await store.run('executions.outbox', { limit: OUTBOX_LIMIT });
      return { unsettled: unsettled.map(toEntry), outbox: outbox.map(toFinish) };
    },
  };
}

function toEntry(row: ExecutionRow): LedgerEntry {
  const { executionId, jobId } = row;
  if (!('outcome' in row) || row.outcome === null) return { executionId, jobId, finish: null };
  return { executionId, jobId, finish: toFinish({ ...row, outcome: row.outcome }) };
}

/** Returns a stored outcome, ready to be delivered again. */
function toFinish(row: {
  readonly jobId: string;
  readonly executionId: string;
  readonly outcome: Outcome;
  /** Of a delivered outcome: a part of it at most. */
  readonly delivery?: Partial<OutcomeDelivery>;
}): Finish {
  const { jobId, executionId, outcome, delivery } = row;
  const parked = outcome.error?.code === 'execution.awaiting_approval';
  return { jobId, executionId, outcome, ...NO_DELIVERY, parked, ...delivery };
}

/** Of a delivered outcome. Its events are in the job's stream. */
const NO_DELIVERY: OutcomeDelivery = { from: 0, tail: [], backoffMs: 0, rawAnswer: null };
