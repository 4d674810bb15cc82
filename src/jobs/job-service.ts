/** What HTTP asks of the jobs: the record is the truth while Redis has it, the projection after that. */
import { maySee, type Principal } from '../auth/principal.ts';
import { AppError, isDamage } from '../errors.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { Created, Idempotency, Jobs } from '../http/ports.ts';
import { isFinished, type JobStatus, jobLinks } from '../protocol/job.ts';
import type { PromptOverrides, PromptRequest, ResolvedPrompt } from '../protocol/prompt.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type { JobRecords, NewJob } from '../records/ports.ts';
import type { JobWaits } from '../rpc/job-waits.ts';
import { toProjected } from '../store/projected-job.ts';
import type { Projector } from '../store/projector.ts';
import type { ProjectedJob } from '../store/rows.ts';
import type { Store } from '../store/store.ts';
import { CANCELLED } from './cancelled.ts';
import { toJob } from './job-view.ts';
import { keyReused, scopedKey } from './scoped-key.ts';
import { createSessionPlacement } from './session-placement.ts';

/** Between looks at a record while nothing is heard. */
const POLL_MS = 1000;

export interface JobServiceOptions {
  readonly records: JobRecords;
  readonly queue: PromptQueue;
  readonly waits: JobWaits;
  readonly store: Store;
  readonly projector: Projector;
  resolve(request: PromptRequest, principal: Principal): Promise<ResolvedPrompt>;
  mint(): { readonly id: string; readonly createdAt: number };
  /** @throws AppError queue.full when so many more would be too many; default: one */
  admit(count?: number): void;
  readonly failpoint?: Failpoint;
}

export function createJobService(options: JobServiceOptions): Jobs {
  const { records, queue, waits, store, projector, failpoint = noFailpoint } = options;

  /** The job, whoever owns it. */
  async function find(id: string): Promise<ProjectedJob | null> {
    let damage: AppError | null = null;
    const record = await records.read(id).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      damage = error;
      return null;
    });
    if (record !== null) return toProjected(record, Date.now());
    const copy = await store.run('jobs.get', { id });
    // A finished job never changes: its copy is as good as its record.
    if (damage !== null && (copy === null || !isFinished(copy.status))) throw damage;
    return copy;
  }

  /** The job, if this principal may see it. */
  async function read(principal: Principal, id: string): Promise<ProjectedJob> {
    const job = await find(id);
    if (job === null || !maySee(principal, job.owner)) throw notFound(id);
    return job;
  }

  /** Null: its record cannot be read, which an admin may get rid of. */
  async function statusOf(principal: Principal, id: string): Promise<JobStatus | null> {
    try {
      return (await read(principal, id)).status;
    } catch (error) {
      if (principal.admin && isDamage(error)) return null;
      throw error;
    }
  }

  const placeSession = createSessionPlacement(store, projector);

  async function add(
    principal: Principal,
    idempotency: Idempotency | null,
    retryOf: string | null,
    asked: () => Promise<PromptRequest>,
  ): Promise<Created> {
    const key = scopedKey(principal, idempotency);
    // First of all: a key that is known has an answer, whatever has become of the world since.
    const known = key === null ? null : await recall(key);
    if (known?.job) return replay(known.job);
    options.admit();
    const resolved = await options.resolve(await asked(), principal);
    const pin = await placeSession(principal, resolved);
    const { id, createdAt } = options.mint();
    const job: NewJob = {
      id,
      kind: 'api',
      owner: principal.id,
      request: resolved,
      retryOf,
      pin,
      createdAt,
      idempotency: key === null || known === null ? key : { ...key, deleted: known.jobId },
    };
    const entry = { id, priority: resolved.priority, delayMs: resolved.delayMs };
    if (key === null) {
      // Both go out in one turn, in order, and share one write to disk. Without the second one the record's
      // own sweep delivers the job.
      await Promise.all([records.create(job), queue.add(entry)]);
      return { job: toJob(freshJob(job)), replayed: false };
    }
    const result = await records.create(job);
    // Another call with this key has been faster.
    if (result.kind !== 'created') return add(principal, idempotency, retryOf, asked);
    await failpoint('job.created');
    await queue.add(entry);
    return { job: toJob(freshJob(job)), replayed: false };
  }

  /**
   * Returns the job of a key; null: the key is new. Its job is null when that was deleted.
   * @throws AppError idempotency.key_reused
   */
  async function recall(key: Idempotency): Promise<{ jobId: string; job: ProjectedJob | null } | null> {
    const known = await records.recall(key);
    if (known === null) return null;
    if (known.kind === 'mismatch') throw keyReused();
    return { jobId: known.jobId, job: await find(known.jobId) };
  }

  async function replay(job: ProjectedJob): Promise<Created> {
    // Its maker may have died before enqueueing it; the caller need not wait for the sweep.
    if (job.status === 'queued' && job.attempts === 0)
      await queue.ensure({ id: job.id, priority: job.request.priority, delayMs: 0 });
    return { job: toJob(job), replayed: true };
  }

  return {
    create: (principal, request, idempotency) => add(principal, idempotency, null, async () => request),

    async get(principal, id) {
      return toJob(await read(principal, id));
    },

    async wait(principal, id, waitMs, signal) {
      const deadline = performance.now() + waitMs;
      using wait = waits.listen(id);
      const untilDue = () => Math.max(0, Math.min(POLL_MS, deadline - performance.now()));
      for (;;) {
        const job = await read(principal, id);
        if (isFinished(job.status) || performance.now() >= deadline || signal.aborted) return toJob(job);
        await wait.next(untilDue(), signal);
      }
    },

    async list(principal, query) {
      await projector.catchUpSoon();
      const { rows, nextCursor } = await store.run('jobs.list', {
        owner: principal.admin ? null : principal.id,
        query,
      });
      const data = rows.map(({ owner: _owner, kind: _kind, ...row }) => ({
        ...row,
        finished: isFinished(row.status),
        links: jobLinks(row.id),
      }));
      return { data, nextCursor };
    },

    async cancel(principal, id, force) {
      const job = await read(principal, id);
      const result = await records.cancel(id, force, CANCELLED);
      const finishedAs =
        result.kind === 'gone' ? job.status : result.kind === 'finished' ? result.status : null;
      if (finishedAs !== null && finishedAs !== 'cancelled') {
        throw new AppError('job.already_finished', `the job has already ended: ${finishedAs}`);
      }
      if (result.kind === 'cancelled') await queue.remove(id);
      return { job: toJob(await read(principal, id)), alreadyCancelled: finishedAs === 'cancelled' };
    },

    async retry(principal, id, overrides, idempotency) {
      return add(principal, idempotency, id, async () => {
        const job = await read(principal, id);
        if (!isFinished(job.status))
          throw new AppError('job.not_finished', 'only a finished job can be retried');
        return { ...asRequest(job.request), ...overrides } as PromptRequest; // merged from two checked halves; resolve() checks the whole
      });
    },

    async delete(principal, id) {
      const status = await statusOf(principal, id);
      const removed = (status === null || isFinished(status)) && (await records.remove(id));
      if (!removed && (status === null || !isFinished(status)))
        throw new AppError('job.not_finished', 'only a finished job can be deleted');
      await queue.remove(id);
      await projector.settled(); // a copy of the record under way would come after the deletion
      await store.run('jobs.delete', { id });
    },
  };
}

const notFound = (id: string): AppError => new AppError('job.not_found', `there is no job ${id}`);

/** A job as it stands right after its creation. */
function freshJob(job: NewJob): Omit<ProjectedJob, 'updatedAt' | 'rev'> {
  const { delayMs } = job.request;
  return {
    id: job.id,
    kind: job.kind,
    owner: job.owner,
    status: delayMs > 0 ? 'scheduled' : 'queued',
    waitReason: delayMs > 0 ? 'delayed' : null,
    scheduledFor: delayMs > 0 ? new Date(job.createdAt + delayMs).toISOString() : null,
    batchId: job.batch ?? null,
    request: job.request,
    attempts: 0,
    retryOf: job.retryOf,
    node: null,
    cancelRequested: false,
    createdAt: new Date(job.createdAt).toISOString(),
    startedAt: null,
    finishedAt: null,
    outcome: null,
  };
}

/** The request a resolved one came from, for making it again. The delay is not repeated. */
function asRequest(resolved: ResolvedPrompt): PromptOverrides {
  const { maxAttempts, delayMs: _delay, ...rest } = resolved;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null));
  return { ...given, retry: { maxAttempts } };
}
