/**
 * What HTTP clients can do with jobs. A job's truth is its record; after Redis forgot it, its copy.
 */
import { isDeepStrictEqual } from 'node:util';
import { jobGrantOf } from '../auth/job-grant.ts';
import { actorOf, inProject, maySee, type Principal, projectOf, scopedKey } from '../auth/principal.ts';
import { AppError, isDamage, keyReused, wireError } from '../errors.ts';
import type { ReadEvents } from '../executor/earlier.ts';
import { type Failpoint, noFailpoint } from '../failpoint.ts';
import type { Created, Idempotency, Jobs } from '../http/ports.ts';
import type { NewId } from '../ids.ts';
import type { CallerLimiter } from '../limits/callers.ts';
import { isFinished, type Job, jobLinks } from '../protocol/job.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { ResolvedPrompt } from '../protocol/prompt.ts';
import type { Providers } from '../providers/registry.ts';
import type { PromptQueue } from '../queue/prompt-queue.ts';
import type { JobRecords, NewJob } from '../records/ports.ts';
import { scoreOf, sessionOf } from '../records/record-codec.ts';
import type { JobWaits } from '../rpc/job-waits.ts';
import type { Copier } from '../store/copier.ts';
import { toJobCopy } from '../store/copy-source.ts';
import type { JobCopy } from '../store/jobs.ts';
import type { Store } from '../store/store.ts';
import { executionsOf } from './executions.ts';
import { freshJob, type ReadClosedGates, toJob } from './job-document.ts';
import { type PromptResolver, startTime } from './resolve-prompt.ts';
import { type Requested, retryRequest } from './retry-request.ts';
import { type SessionPlacement, sessionClosed } from './session-placement.ts';

/** Longest time between two reads of a job that a client waits for. */
const POLL_MS = 1000;

export interface JobServiceOptions {
  readonly records: JobRecords;
  readonly queue: PromptQueue;
  readonly waits: Pick<JobWaits, 'listen'>;
  readonly store: Store;
  readonly copier: Copier;
  resolverFor(principal: Principal): PromptResolver;
  readonly placeSession: SessionPlacement;
  /** @throws AppError queue.full when the queue has no room for `count` more jobs */
  admit(count: number): void;
  readonly callers: Pick<CallerLimiter, 'wasRefused' | 'accepted' | 'refusal'>;
  newId(): NewId;
  /** Whether a job of this provider could start now. */
  hasRoom(provider: string): boolean;
  /** A job with this request may start soon. */
  readAhead(request: ResolvedPrompt): void;
  readonly providers: Pick<Providers, 'get'>;
  readonly nodeId: string;
  readonly closedGates: ReadClosedGates;
  readonly failpoint?: Failpoint;
}

/** `createCounted`: as `create`, for a message that the limits have counted. */
export type JobService = Jobs & { readonly createCounted: Jobs['create'] };

export function createJobService({
  records,
  queue,
  waits,
  store,
  copier,
  resolverFor,
  placeSession,
  admit,
  callers,
  newId,
  hasRoom,
  readAhead,
  providers,
  nodeId,
  closedGates,
  failpoint = noFailpoint,
}: JobServiceOptions): JobService {
  /** The job of any owner. */
  async function find(id: string): Promise<JobCopy | null> {
    let damage: AppError | null = null;
    const record = await records.read(id).catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      damage = error;
      return null;
    });
    if (record !== null) return toJobCopy(record, Date.now());
    const copy = await store.run('jobs.get', { id });
    // The end of a job never changes: its copy is as good as its record.
    if (damage !== null && (copy === null || !isFinished(copy.status))) throw damage;
    return copy;
  }

  /** The job, if this principal may see it. */
  async function read(principal: Principal, id: string): Promise<JobCopy> {
    const job = await find(id);
    if (job === null || !maySee(principal, job.project)) throw notFound(id);
    return job;
  }

  /** Only a queued job may stand behind a gate. */
  const documentOf = async (job: Parameters<typeof toJob>[0]): Promise<Job> =>
    toJob(job, job.status === 'queued' ? await closedGates() : null);

  /** Nulls: the record cannot be read. An admin may delete such a job. */
  async function stateOf(principal: Principal, id: string) {
    try {
      return await read(principal, id);
    } catch (error) {
      if (principal.admin && isDamage(error)) return { status: null, project: null };
      throw error;
    }
  }

  async function add(
    principal: Principal,
    idempotency: Idempotency | null,
    retryOf: string | null,
    requested: () => Promise<Requested>,
    limited = true,
  ): Promise<Created> {
    const key = scopedKey(principal, idempotency);
    // A known key has its answer before anything is checked: the checks may fail by now.
    const known = key === null ? null : await recall(key);
    if (known?.job) return { job: await documentOf(known.job), replayed: true };
    admit(1);
    const { request, project: of, ...more } = await requested();
    const resolved = { ...(await resolverFor(principal)(request)), ...more };
    if (resolved.delayMs === 0) readAhead(resolved);
    const { project, node: pin } = await placeSession(inProject(principal, of), resolved);
    const { id, createdAt } = newId();
    // BullMQ delivers it at once if it may start now. A wrong guess costs one delivery.
    const delivered = resolved.delayMs === 0 && hasRoom(resolved.provider);
    const job: NewJob = {
      id,
      delivered,
      limited,
      kind: 'api',
      project,
      principal: principal.id,
      grant: jobGrantOf(principal),
      sessionId: sessionOf(id, resolved),
      request: resolved,
      retryOf,
      pin,
      createdAt,
      idempotency: key === null || known === null ? key : { ...key, deleted: known.jobId },
      by: actorOf(principal),
    };
    const entry = { id, delayMs: delivered || resolved.delayMs > 0 ? resolved.delayMs : null };
    if (key === null && !callers.wasRefused(principal)) {
      // Redis gets both together and writes them to disk once. If the second one is lost, the entry
      // is added when a node is given the job.
      const made = Promise.all([records.create(job), queue.add(entry)]);
      const [document, [result]] = await Promise.all([documentOf(freshJob(job)), made]);
      if (result.kind === 'created') return { job: document, replayed: false, rate: result.rate ?? null };
      await queue.remove(id);
      if (result.kind === 'limited') throw callers.refusal(result, { id: principal.id, project }, 1);
      if (result.kind === 'closed') throw sessionClosed(resolved.sessionId);
    }
    const result = await records.create(job);
    if (result.kind === 'limited') throw callers.refusal(result, { id: principal.id, project }, 1);
    if (result.kind === 'closed') throw sessionClosed(resolved.sessionId);
    // Another call with this key was faster: return its job.
    if (result.kind !== 'created') return add(principal, idempotency, retryOf, requested, limited);
    callers.accepted(principal);
    await failpoint('job.created');
    await queue.add(entry);
    return { job: await documentOf(freshJob(job)), replayed: false, rate: result.rate ?? null };
  }

  /**
   * Returns the job of a key; null: the key is new. `job` is null when the job was deleted.
   * @throws AppError idempotency.key_reused
   */
  async function recall(key: Idempotency): Promise<{ jobId: string; job: JobCopy | null } | null> {
    const known = await records.recall(key);
    if (known === null) return null;
    if (known.kind === 'mismatch') throw keyReused();
    return { jobId: known.jobId, job: await find(known.jobId) };
  }

  return {
    create: (principal, request, key) => add(principal, key, null, async () => ({ request })),
    createCounted: (principal, request, key) => add(principal, key, null, async () => ({ request }), false),

    get: async (principal, id) => documentOf(await read(principal, id)),

    async wait(principal, id, waitMs, signal) {
      const deadline = performance.now() + waitMs;
      using wait = waits.listen(id);
      const untilDue = () => Math.max(0, Math.min(POLL_MS, deadline - performance.now()));
      for (;;) {
        const job = await read(principal, id);
        if (isFinished(job.status) || performance.now() >= deadline || signal.aborted) return documentOf(job);
        await wait.next(untilDue(), signal);
      }
    },

    async list(principal, query) {
      await copier.catchUpSoon();
      const { rows, nextCursor } = await store.run('jobs.list', {
        project: projectOf(principal),
        query,
        gates: await closedGates(),
      });
      const data = rows.map(({ kind: _kind, ...row }) => ({
        ...row,
        finished: isFinished(row.status),
        links: jobLinks(row.id),
      }));
      return { data, nextCursor };
    },

    async executions(principal, id) {
      await read(principal, id);
      const rows = await store.run('executions.ofJob', { jobId: id });
      const readEvents: ReadEvents = async (jobId, after, limit) => {
        const events = await records.events(jobId, after, limit);
        return events.length > 0 ? events : store.run('events.read', { jobId, after, limit });
      };
      return executionsOf(id, { readEvents, rows, nodeId });
    },

    async cancel(principal, id, force) {
      const job = await read(principal, id);
      const result = await records.cancel(id, force, CANCELLED, actorOf(principal));
      const finishedAs =
        result.kind === 'gone' ? job.status : result.kind === 'finished' ? result.status : null;
      if (finishedAs !== null && finishedAs !== 'cancelled') {
        throw new AppError('job.already_finished', `the job has already ended: ${finishedAs}`);
      }
      if (result.kind === 'cancelled') await queue.remove(id);
      return {
        job: await documentOf(await read(principal, id)),
        alreadyCancelled: finishedAs === 'cancelled',
      };
    },

    async retry(principal, id, overrides, idempotency) {
      return add(principal, idempotency, id, async () => {
        const job = await read(principal, id);
        if (!isFinished(job.status))
          throw new AppError('job.not_finished', 'only a finished job can be retried');
        return retryRequest(job, overrides, providers);
      });
    },

    async change(principal, id, { priority, runAt, ...patch }) {
      const job = await read(principal, id);
      const { request } = job;
      const now = { tags: request.tags, metadata: request.metadata, archived: job.archived };
      const isNew = {
        priority: priority !== undefined && priority !== request.priority,
        runAt: runAt !== undefined,
      };
      if (!isNew.priority && !isNew.runAt && isDeepStrictEqual(now, { ...now, ...patch }))
        return documentOf(job);
      const at = runAt === undefined ? null : startTime(runAt);
      const deadline =
        at !== null && request.ttlMs !== null ? Math.max(at, Date.now()) + request.ttlMs : null;
      const changes = {
        ...patch,
        ...(priority !== undefined && isNew.priority && { priority: placeOf(job, priority) }),
        ...(at !== null && { runAt: { at, deadline } }),
      };
      const by = { actor: actorOf(principal), project: job.project };
      const result = await records.change(id, changes, by);
      if (result === 'finished') throw new AppError('job.already_finished', 'the job has already ended');
      if (result === 'running') throw new AppError('job.already_started', 'the job is running');
      // The copy of a job that Redis no longer has is changed through the log, on every node.
      if (result === 'gone') await copier.catchUp();
      return documentOf(await read(principal, id));
    },

    async delete(principal, id) {
      const { status, project } = await stateOf(principal, id);
      const by = { actor: actorOf(principal), project };
      const removed = (status === null || isFinished(status)) && (await records.remove(id, by));
      if (!removed && (status === null || !isFinished(status)))
        throw new AppError('job.not_finished', 'only a finished job can be deleted');
      await queue.remove(id);
      await copier.settled(); // or a copy that is being written would come after the deletion
      await store.run('jobs.delete', { id });
    },
  };
}

/** The place of a job with another priority among ready jobs. */
const placeOf = ({ request, createdAt }: JobCopy, priority: number) => ({
  value: priority,
  score: scoreOf({ request: { ...request, priority }, createdAt: Date.parse(createdAt) }),
});

const notFound = (id: string): AppError => new AppError('job.not_found', `there is no job ${id}`);

/** The outcome of a job that is cancelled before a CLI ran for it. */
export const CANCELLED = jobOutcome(
  'cancelled',
  wireError('execution.cancelled', 'the job was cancelled before it ran'),
);
