/**
 * Restores jobs that Redis lost (no AOF, a flush, an old backup). This node's copies say which jobs
 * are missing. A job that never ran is created again under its id. A job that ran gets the outcome
 * that the ledger knows, and never runs a second time.
 */
import type { Logger } from 'pino';
import { isDamage, messageOf, wireError } from '../errors.ts';
import { lostOutcome } from '../executor/outcomes.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { JobRecords } from '../records/ports.ts';
import type { SessionRecords } from '../records/session-ports.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import type { ExecutionRow } from '../store/executions.ts';
import type { JobCopy } from '../store/jobs.ts';
import type { Store } from '../store/store.ts';

const PAGE = 500;
/** Of sessions with an open turn. */
const OPEN_STATUSES = ['starting', 'busy', 'awaiting_input'] as const;

export interface ReconcilerOptions {
  readonly records: Pick<JobRecords, 'read' | 'create' | 'change'>;
  readonly sessions: Pick<SessionRecords, 'restore'>;
  readonly upkeep: Pick<Upkeep, 'migrate'>;
  readonly store: Store;
  /** This start of the server: executions of this boot that have no outcome are still running. */
  readonly bootId: string;
  /**
   * Age up to which lost jobs are created again; 0: none. It is 0 where servers share a Redis:
   * another server may have run what this one only saw waiting.
   */
  readonly restoreYoungerThanMs: number;
  readonly logger: Logger;
}

export interface Reconciler {
  /**
   * Puts the jobs of the version before this one where they belong. Call it before any claim.
   * @param caughtUp resolves when the copies have all jobs
   */
  migrate(caughtUp: () => Promise<void>): Promise<void>;
  /** Restores every job that Redis lost. Call it when Redis has another log, or an older one. */
  restoreLost(): Promise<void>;
  /**
   * Ends the jobs that have ended, and that Redis has forgotten since, while this node did not read
   * the log. None is created again, and no session: another node may have deleted it.
   * @param ids only these jobs
   */
  endForgotten(ids?: readonly string[]): Promise<void>;
  /**
   * Ends the jobs whose outcome only this node's ledger knows. Call it when a record refused an
   * outcome.
   */
  settleKnown(): void;
}

export function createReconciler({
  records,
  sessions,
  upkeep,
  store,
  bootId,
  restoreYoungerThanMs,
  logger,
}: ReconcilerOptions): Reconciler {
  async function reconcile(which: 'lost' | 'forgotten' | 'known', ids?: readonly string[]): Promise<void> {
    const knownOnly = which === 'known';
    let restored = 0;
    let settled = 0;
    for (let after = ''; ; ) {
      const page = await store.run('jobs.unfinished', { after, limit: PAGE, ids });
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.id;
      for (const job of page) {
        const rev = await revOf(job.id, knownOnly);
        // An older Redis knows an earlier state, and gives the revisions of the copy again.
        if (which === 'lost' && rev !== null && rev <= job.rev)
          await store.run('copies.rewind', { of: 'jobs', id: job.id });
        if (rev !== null) continue;
        // The copy may be older than the last claim. The ledger is not: it has every intent.
        const execution = await store.run('executions.lastOf', { jobId: job.id });
        const ended = execution !== null && 'outcome' in execution;
        if (!ended && execution?.bootId === bootId) continue; // it is running: its end will settle the job
        if (which === 'lost' && execution === null && mayRestore(job)) {
          await restore(job);
          restored += 1;
        } else if (!knownOnly || ended) {
          await settle(job, execution);
          settled += 1;
        }
      }
    }
    if (restored + settled > 0) logger.warn({ restored, settled }, 'Redis no longer had jobs');
  }

  /**
   * Makes the records of sessions again. What the jobs of a chat were doing is lost, or begins
   * again as a new turn. The program of a terminal still runs, or its node says how it has ended.
   */
  async function restoreSessions(): Promise<void> {
    for (let after = ''; ; ) {
      const ids = await store.run('sessions.ids', { after, limit: PAGE });
      for (const id of ids) {
        const copy = await store.run('sessions.copy', { id });
        if (copy === null) continue;
        const { record, entries, waiting } = copy;
        const isOpen = record.kind === 'chat' && OPEN_STATUSES.some((status) => status === record.status);
        const status = isOpen ? 'ready' : record.status;
        // Each job that is made again counts as a turn then.
        const turns = Math.max(0, record.turns - (restoreYoungerThanMs > 0 ? waiting : 0));
        await sessions.restore({ ...record, status, turns }, entries);
        await store.run('copies.rewind', { of: 'sessions', id });
      }
      const last = ids.at(-1);
      if (last === undefined) return;
      after = last;
    }
  }

  /**
   * The revision of a record; null when it is missing. A damaged one counts as missing where the
   * ledger may know how its job ended, else as newer than any.
   */
  async function revOf(id: string, knownOnly: boolean): Promise<number | null> {
    try {
      return (await records.read(id))?.rev ?? null;
    } catch (error) {
      if (!isDamage(error)) throw error;
      return knownOnly ? null : Number.POSITIVE_INFINITY;
    }
  }

  const mayRestore = ({ attempts, kind, forged, createdAt }: JobCopy): boolean =>
    attempts === 0 && kind === 'api' && !forged && Date.now() - Date.parse(createdAt) < restoreYoungerThanMs;

  /** When a job that never ran became ready; null: this node has no copy of the event. */
  async function queuedAt(jobId: string): Promise<string | null> {
    const events = await store.run('events.read', { jobId, after: 0, limit: PAGE });
    return events.findLast(({ kind }) => kind === 'job.queued')?.at ?? null;
  }

  async function restore(job: JobCopy): Promise<void> {
    const due = job.scheduledFor ?? (await queuedAt(job.id));
    const delayMs = job.scheduledFor === null ? 0 : Math.max(0, Date.parse(job.scheduledFor) - Date.now());
    await store.run('copies.rewind', { of: 'jobs', id: job.id });
    await records.create({
      id: job.id,
      kind: job.kind,
      project: job.project,
      principal: job.principal,
      grant: job.grant,
      sessionId: job.sessionId,
      request: { ...job.request, delayMs },
      retryOf: job.retryOf,
      pin: null,
      batch: job.batchId,
      createdAt: Date.parse(job.createdAt),
      ...(due !== null && { dueAt: Date.parse(due) }),
      idempotency: null,
    });
    if (job.archived) await records.change(job.id, { archived: true });
  }

  /** Ends this node's copy of the job, and appends job.finished to its events. */
  async function settle(job: JobCopy, execution: ExecutionRow | null): Promise<void> {
    const known = execution !== null && 'outcome' in execution ? execution.outcome : null;
    const outcome = endOf(known) ?? lostOutcome(execution?.executionId ?? null);
    const at = new Date().toISOString();
    const ended = {
      ...job,
      rev: job.rev + 1,
      status: outcome.status,
      waitReason: null,
      scheduledFor: null,
      outcome,
      finishedAt: at,
      updatedAt: at,
    };
    const query = { status: 'pending', jobId: job.id, sessionId: null, limit: PAGE, cursor: null } as const;
    const { data: open } = await store.run('approvals.list', { project: null, query });
    const approvals = open.map((one) => ({ ...one, status: 'cancelled' as const }));
    await store.run('copies.apply', { jobs: [ended], removed: [], cursor: null, approvals });
    const lastSeq = await store.run('events.lastSeq', { jobId: job.id });
    const last = { seq: lastSeq + 1, jobId: job.id, attempt: job.attempts, at, raw: null };
    await store.run('events.append', {
      jobId: job.id,
      events: [{ ...last, kind: 'job.finished', job: null }],
    });
  }

  return {
    async migrate(caughtUp) {
      if (!(await upkeep.migrate([], false))) return;
      await caughtUp();
      let migrated = 0;
      for (let after = '', more = true; more; ) {
        const ids = (await store.run('jobs.unfinished', { after, limit: PAGE })).map(({ id }) => id);
        await upkeep.migrate(ids, ids.length === 0);
        more = ids.length > 0;
        after = ids.at(-1) ?? after;
        migrated += ids.length;
      }
      if (migrated > 0) logger.info({ jobs: migrated }, 'jobs of an earlier version were taken over');
    },

    async restoreLost() {
      await restoreSessions(); // first: the jobs that are made again are their turns
      await reconcile('lost');
    },
    endForgotten: (ids) => reconcile('forgotten', ids),
    settleKnown() {
      reconcile('known').catch((error: unknown) =>
        logger.warn({ reason: messageOf(error) }, 'reconciling failed'),
      );
    },
  };
}

/** The end of a job by its last execution. What a job waited for is lost with its record. */
function endOf(known: Outcome | null): Outcome | null {
  if (known?.error?.code !== 'execution.awaiting_approval') return known;
  const message = 'Redis has lost the approvals that the job waited for';
  return { ...known, error: wireError('execution.lost', message) };
}
