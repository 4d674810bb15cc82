/**
 * What to do when Redis came back without jobs it had (no AOF, a flush, an old backup): this node's copies say
 * what is missing. A job that never ran is made again under its id; one that ran is told how its execution
 * ended, as far as the ledger knows, and is never run a second time.
 */
import type { Logger } from 'pino';
import { isDamage } from '../errors.ts';
import { lostOutcome } from '../executor/outcomes.ts';
import type { JobRecords } from '../records/ports.ts';
import type { ExecutionRow, ProjectedJob } from '../store/rows.ts';
import type { Store } from '../store/store.ts';
import type { PromptQueue } from './prompt-queue.ts';

const PAGE = 500;

export interface ReconcileReport {
  /** Jobs made again. */
  readonly restored: number;
  /** Jobs that ended with what the ledger knew. */
  readonly settled: number;
}

export async function reconcile(options: {
  readonly records: Pick<JobRecords, 'read' | 'create'>;
  readonly queue: PromptQueue;
  readonly store: Store;
  /**
   * Only jobs younger than this are made again; 0: none. Where several servers share a Redis another one may have
   * run what this one only saw waiting, and nothing is run twice.
   */
  readonly restoreYoungerThanMs: number;
  /** Settles only what this node's own ledger knows the outcome of. */
  readonly knownOnly: boolean;
  /** Whether this node is running it: then its end will tell. */
  isRunning(jobId: string): boolean;
  readonly logger: Logger;
}): Promise<ReconcileReport> {
  const { records, queue, store, logger } = options;
  let restored = 0;
  let settled = 0;
  for (let after = ''; ; ) {
    const page = await store.run('jobs.unfinished', { after, limit: PAGE });
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.id;
    for (const job of page) {
      if (options.isRunning(job.id) || (await hasRecord(job.id))) continue;
      // The copy may be older than the last claim; the ledger is not: it has every intent.
      const execution = await store.run('executions.lastOf', { jobId: job.id });
      const young = Date.now() - Date.parse(job.createdAt) < options.restoreYoungerThanMs;
      if (execution === null && job.attempts === 0 && job.kind === 'api' && young) {
        await restore(job);
        restored += 1;
      } else if (!options.knownOnly || (execution !== null && 'outcome' in execution)) {
        await settle(job, execution);
        settled += 1;
      }
    }
  }
  if (restored + settled > 0) logger.warn({ restored, settled }, 'Redis had lost jobs');
  return { restored, settled };

  /** A record that cannot be read will not tell how its job ended: this node's ledger may. */
  async function hasRecord(id: string): Promise<boolean> {
    try {
      return (await records.read(id)) !== null;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return !options.knownOnly;
    }
  }

  async function restore(job: ProjectedJob): Promise<void> {
    await store.run('jobs.rewind', { id: job.id });
    const delayMs = job.scheduledFor === null ? 0 : Math.max(0, Date.parse(job.scheduledFor) - Date.now());
    await records.create({
      id: job.id,
      kind: job.kind,
      owner: job.owner,
      request: { ...job.request, delayMs },
      retryOf: job.retryOf,
      pin: null,
      batch: job.batchId,
      createdAt: Date.parse(job.createdAt),
      idempotency: null,
    });
    await queue.ensure({ id: job.id, priority: job.request.priority, delayMs });
  }

  async function settle(job: ProjectedJob, execution: ExecutionRow | null): Promise<void> {
    const known = execution !== null && 'outcome' in execution ? execution.outcome : null;
    const outcome = known ?? lostOutcome(execution?.executionId ?? null);
    const at = new Date().toISOString();
    const ended = {
      ...job,
      rev: job.rev + 1,
      status: outcome.status,
      outcome,
      finishedAt: at,
      updatedAt: at,
    };
    await store.run('jobs.project', {
      jobs: [{ ...ended, waitReason: null, scheduledFor: null }],
      removed: [],
      cursor: null,
    });
    const lastSeq = await store.run('events.lastSeq', { jobId: job.id });
    const last = { seq: lastSeq + 1, jobId: job.id, attempt: job.attempts, at, raw: null };
    await store.run('events.append', {
      jobId: job.id,
      events: [{ ...last, kind: 'job.finished', job: null }],
    });
  }
}
