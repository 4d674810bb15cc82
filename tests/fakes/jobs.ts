import { maySee, type Principal } from '../../src/auth/principal.ts';
import { AppError, type Rate } from '../../src/errors.ts';
import type { Created, Idempotency, JobPage, Jobs } from '../../src/http/ports.ts';
import type { JobPatch, JobQuery } from '../../src/protocol/job.ts';
import { isFinished, type Job, type JobStatus } from '../../src/protocol/job.ts';
import type { Execution, Outcome } from '../../src/protocol/outcome.ts';
import type { PromptRequest, RetryRequest } from '../../src/protocol/prompt.ts';
import { jobFrom, listItem, succeededWith } from './job-samples.ts';

interface Held {
  readonly owner: string;
  readonly request: PromptRequest;
  job: Job;
}

/** The Jobs port in memory. Nothing runs by itself: a test ends a job with `finish`. */
export class FakeJobs implements Jobs {
  readonly requests: PromptRequest[] = [];
  readonly queries: JobQuery[] = [];
  /** The executions of every job. */
  readonly ran: Execution[] = [];
  /** Thrown by the next call, once. */
  failNext: AppError | null = null;
  /** What is left of the jobs an hour after each new job. */
  rate: Rate | null = null;
  /** Signals of the waits under way. */
  readonly waits = new Set<AbortSignal>();
  readonly #held = new Map<string, Held>();
  readonly #keys = new Map<string, { readonly fingerprint: string; readonly id: string }>();
  readonly #changed = new EventTarget();

  async create(principal: Principal, request: PromptRequest, key: Idempotency | null): Promise<Created> {
    this.#fail();
    return this.#once(principal, key, () => this.#make(principal.project, request, null));
  }

  async get(principal: Principal, id: string): Promise<Job> {
    this.#fail();
    return this.#find(principal, id).job;
  }

  async wait(principal: Principal, id: string, waitMs: number, signal: AbortSignal): Promise<Job> {
    this.#fail();
    const held = this.#find(principal, id);
    const until = AbortSignal.any([signal, AbortSignal.timeout(waitMs)]);
    this.waits.add(signal);
    this.#changed.dispatchEvent(new Event('wait'));
    while (!held.job.finished && !until.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#changed.addEventListener('finished', () => resolve(), { once: true, signal: until });
      until.addEventListener('abort', () => resolve(), { once: true });
      await promise;
    }
    this.waits.delete(signal);
    return held.job;
  }

  async list(principal: Principal, query: JobQuery): Promise<JobPage> {
    this.#fail();
    this.queries.push(query);
    const { project } = query;
    const mine = [...this.#held.values()]
      .filter(({ owner }) => maySee(principal, owner) && (project === undefined || project === owner))
      .reverse();
    const data = mine.map(({ job }) => listItem(job));
    const wanted = data.filter(({ status }) => query.status?.includes(status) ?? true);
    return { data: wanted.slice(0, query.limit), nextCursor: null };
  }

  async executions(principal: Principal, id: string): Promise<readonly Execution[]> {
    this.#fail();
    this.#find(principal, id);
    return this.ran;
  }

  async cancel(principal: Principal, id: string, force: boolean) {
    this.#fail();
    const held = this.#find(principal, id);
    if (held.job.status === 'cancelled') return { job: held.job, alreadyCancelled: true };
    if (held.job.finished) throw new AppError('job.already_finished', 'the job has already ended');
    held.job = { ...held.job, cancelRequested: true, metadata: force ? { force: 'true' } : {} };
    return { job: held.job, alreadyCancelled: false };
  }

  async retry(principal: Principal, id: string, overrides: RetryRequest, key: Idempotency | null) {
    this.#fail();
    const first = this.#find(principal, id);
    if (!first.job.finished) throw new AppError('job.not_finished', 'the job has not ended yet');
    return this.#once(principal, key, () =>
      this.#make(principal.project, { ...first.request, ...overrides }, first.job.id),
    );
  }

  async change(principal: Principal, id: string, patch: JobPatch): Promise<Job> {
    this.#fail();
    const held = this.#find(principal, id);
    held.job = { ...held.job, ...patch };
    return held.job;
  }

  async delete(principal: Principal, id: string): Promise<void> {
    this.#fail();
    if (!this.#find(principal, id).job.finished) throw new AppError('job.not_finished', 'not ended yet');
    this.#held.delete(id);
  }

  /** Ends a job. */
  finish(id: string, outcome: Outcome = succeededWith('done')): Job {
    const held = this.#held.get(id);
    if (held === undefined) throw new Error(`no job ${id}`);
    const at = new Date().toISOString();
    const status: JobStatus = outcome.status;
    held.job = { ...held.job, status, finished: isFinished(status), finishedAt: at, outcome };
    this.#changed.dispatchEvent(new Event('finished'));
    return held.job;
  }

  /** Resolves when a wait has begun. */
  async nextWait(): Promise<void> {
    if (this.waits.size > 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed.addEventListener('wait', () => resolve(), { once: true });
    await promise;
  }

  #find(principal: Principal, id: string): Held {
    const held = this.#held.get(id);
    if (held !== undefined && maySee(principal, held.owner)) return held;
    throw new AppError('job.not_found', 'there is no job with this id');
  }

  #once(principal: Principal, key: Idempotency | null, make: () => Job): Created {
    if (key === null) return { job: make(), replayed: false, rate: this.rate };
    const name = `${principal.id} ${key.key}`;
    const before = this.#keys.get(name);
    if (before !== undefined && before.fingerprint !== key.fingerprint) {
      throw new AppError('idempotency.key_reused', 'the key was used with another request');
    }
    if (before !== undefined) return { job: this.#find(principal, before.id).job, replayed: true };
    const job = make();
    this.#keys.set(name, { fingerprint: key.fingerprint, id: job.id });
    return { job, replayed: false };
  }

  #make(owner: string, request: PromptRequest, retryOf: string | null): Job {
    this.requests.push(request);
    const job = jobFrom(request, retryOf);
    this.#held.set(job.id, { owner, request, job });
    return job;
  }

  #fail(): void {
    const error = this.failNext;
    this.failNext = null;
    if (error !== null) throw error;
  }
}
