/**
 * The life of jobs as a plain state machine, without Redis: random sequences of steps must give the
 * same on both. It keeps no sets: the jobs say which is pending, first in a lane, or lost.
 * It forgets nothing, so a sequence must be shorter than the time that Redis keeps a finished job.
 */
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import { isFinished, type JobStatus } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import { EXPIRED } from '../../../src/records/claims.ts';
import type { Claim, FinishResult, JobRecord, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import { lanesOf, scoreOf } from '../../../src/records/record-codec.ts';
import { LEASE_MS, LOST_BACKOFF_MS } from '../../helpers/redis-records.ts';
import type { RandomSteps } from './random.ts';

/** A record, and what decides its next step. */
interface Job extends Omit<{ -readonly [Key in keyof JobRecord]: JobRecord[Key] }, 'lastSeq'> {
  readonly events: StoredEvent[];
  readonly score: number;
  readonly deadline: number | null;
  /** Its place in each lane it has entered. */
  readonly lanes: Map<string, number>;
  /** The node that has the transcript of its session. */
  sessionNode: string | null;
  /** Executions that continued it for nothing. */
  continued: number;
  /** Events of the current execution that were appended. */
  appended: number;
  pendingSince: number;
  leaseEnd: number;
  /** The execution that ended last, and how FINISH answered it. */
  ended: { executionId: string | null; as: FinishResult } | null;
}

const waits = (job: Job): boolean => job.status === 'queued' || job.status === 'scheduled';
const isPending = (job: Job): boolean =>
  job.status === 'queued' && job.executionId !== null && job.waitReason === null;
/** Sorts by a number, then by id, as a sorted set does. */
const by =
  (key: (job: Job) => number) =>
  (a: Job, b: Job): number =>
    key(a) - key(b) || (a.id < b.id ? -1 : 1);

export function createModel(): RandomSteps {
  let now = 1_790_000_000_000;
  const jobs = new Map<string, Job>();
  const nodes = new Map<string, number>();
  const keys = new Map<string, { readonly id: string; readonly fingerprint: string }>();
  const log: string[] = [];
  const all = (which: (job: Job) => boolean): Job[] => [...jobs.values()].filter(which);

  function touch(job: Job): void {
    job.rev += 1;
    log.push(`j ${job.id}`);
  }
  function emit(job: Job, body: EventBody, raw: string | null = null): void {
    const { id: jobId, attempt, events } = job;
    const at = new Date(now).toISOString();
    events.push({ seq: events.length + 1, jobId, attempt, at, raw, ...body } as StoredEvent); // from both halves
  }
  function schedule(job: Job, waitReason: string, due: number): void {
    Object.assign(job, { status: 'scheduled', waitReason, scheduledFor: due });
    emit(job, { kind: 'job.scheduled', waitReason, scheduledFor: new Date(due).toISOString() });
  }
  const headOf = (lane: string): Job | undefined =>
    all((job) => job.lanes.has(lane)).sort(by((job) => job.lanes.get(lane) ?? 0))[0];
  function enterLanes(job: Job): void {
    for (const lane of lanesOf(job)) if (!job.lanes.has(lane)) job.lanes.set(lane, job.createdAt);
  }
  function admit(job: Job): boolean {
    for (const lane of job.lanes.keys()) {
      if (headOf(lane) === job) continue;
      job.waitReason = lane.startsWith('s:') ? 'session' : 'concurrency_key';
      return false;
    }
    for (const lane of job.lanes.keys()) job.lanes.set(lane, 0);
    Object.assign(job, { waitReason: null, pendingSince: now });
    return true;
  }
  function settle(job: Job, status: JobStatus, outcome: Outcome): void {
    Object.assign(job, { status, outcome, finishedAt: now, waitReason: null, scheduledFor: null });
    emit(job, { kind: 'job.finished' } as EventBody); // the job in it is added by readers
    touch(job);
    job.lanes.clear();
    for (const lane of lanesOf(job)) {
      const head = headOf(lane);
      if (head?.status !== 'queued' || head.executionId === null || head.waitReason === null) continue;
      admit(head);
      touch(head);
    }
  }
  function end(job: Job, outcome: Outcome, retryable: boolean, backoffMs: number): FinishResult {
    const { executionId } = job;
    emit(job, { kind: 'execution.finished', executionId, outcome } as EventBody); // it has one
    const { sessionNode, request } = job;
    const continues = sessionNode !== null && request.retryMode !== 'restart';
    const interrupted = ['execution.lost', 'execution.overloaded'].includes(outcome.error?.code ?? '');
    const free = continues && interrupted && request.autoContinue !== false && job.continued < 3;
    if (outcome.status === 'failed' && !free) job.failures += 1;
    const left = free || job.failures < request.maxAttempts;
    job.ended = { executionId, as: 'finished' };
    if (!retryable || !left || job.cancel !== 'none') {
      settle(job, outcome.status, outcome);
      return 'finished';
    }
    const due = now + backoffMs;
    job.ended.as = 'scheduled';
    if (free) job.continued += 1;
    Object.assign(job, { executionId: null, node: null, pin: continues ? sessionNode : job.pin });
    schedule(job, 'backoff', due);
    touch(job);
    return 'scheduled';
  }
  function make(given: NewJob): void {
    const { idempotency: _, ...made } = given;
    const { delayMs, ttlMs } = given.request;
    const due = now + delayMs;
    const job: Job = {
      ...{
        ...made,
        batch: null,
        archived: false,
        rev: 0,
        status: 'queued',
        waitReason: null,
        scheduledFor: null,
      },
      ...{ attempt: 0, failures: 0, executionId: null, node: null, cancel: 'none', outcome: null },
      ...{ startedAt: null, finishedAt: null, events: [], score: scoreOf(given), lanes: new Map() },
      deadline: ttlMs === null ? null : due + ttlMs,
      ...{ nativeSessionId: null, sessionNode: null, continued: 0 },
      ...{ appended: 0, pendingSince: 0, leaseEnd: 0, ended: null },
    };
    jobs.set(job.id, job);
    if (delayMs > 0) schedule(job, 'delayed', due);
    else {
      enterLanes(job);
      emit(job, { kind: 'job.queued' });
    }
    touch(job);
  }
  const current = (id: string, executionId: string): Job | null => {
    const job = jobs.get(id);
    return job?.status === 'running' && job.executionId === executionId ? job : null;
  };
  function append(job: Job, from: number, events: readonly TimedEvent[]): void {
    const fresh = events.slice(Math.max(0, job.appended - from));
    for (const { event, raw } of fresh) emit(job, event, raw);
    if (fresh.length === 0) return;
    job.appended = from + events.length;
    for (const { event } of events) {
      if (event.kind !== 'session' || event.sessionId === null) continue;
      Object.assign(job, { nativeSessionId: event.nativeSessionId, sessionNode: job.node });
    }
  }
  const toClaim = ({ id, executionId, attempt, kind, principal, sessionId, request }: Job): Claim => ({
    ...{ jobId: id, executionId: executionId ?? '', attempt, kind, principal, sessionId, request },
  });
  function start(job: Job, node: string): Claim {
    job.attempt += 1;
    job.startedAt ??= now;
    Object.assign(job, { status: 'running', node, appended: 0, leaseEnd: now + LEASE_MS });
    emit(job, { kind: 'job.running', executionId: job.executionId ?? '', node });
    touch(job);
    return toClaim(job);
  }

  return {
    async advance(ms) {
      now += ms;
    },
    async tick() {
      now += 1;
    },
    log: async () => log,
    records: {
      async create(given) {
        const { idempotency: used } = given;
        const prior = used === null ? undefined : keys.get(used.key);
        if (prior !== undefined && prior.fingerprint !== used?.fingerprint) return { kind: 'mismatch' };
        if (prior !== undefined) return { kind: 'replayed', jobId: prior.id };
        if (used !== null) keys.set(used.key, { id: given.id, fingerprint: used.fingerprint });
        make(given);
        return { kind: 'created' };
      },
      async read(id) {
        const job = jobs.get(id);
        if (job === undefined) return null;
        const { events, score, deadline, lanes, appended, pendingSince, leaseEnd, ended, ...rest } = job;
        const { sessionNode, continued, ...record } = rest;
        return structuredClone({ ...record, lastSeq: events.length });
      },
      async cancel(id, force, outcome) {
        const job = jobs.get(id);
        if (job === undefined) return { kind: 'gone' };
        if (isFinished(job.status)) return { kind: 'finished', status: job.status };
        const before = job.cancel;
        job.cancel = job.status === 'running' && (force || before === 'forced') ? 'forced' : 'requested';
        if (job.status !== 'running') settle(job, 'cancelled', outcome);
        else if (before !== job.cancel) touch(job);
        return { kind: job.status === 'running' ? 'requested' : 'cancelled' };
      },
      async remove(id) {
        const job = jobs.get(id);
        if (job === undefined || !isFinished(job.status)) return false;
        log.push(`d ${id}`);
        return jobs.delete(id);
      },
      events: async (id, after, limit) => jobs.get(id)?.events.slice(after, after + limit) ?? [],
    },
    submissions: {
      async submit(id, executionId) {
        const job = jobs.get(id);
        if (job === undefined) return { kind: 'gone' };
        if (isFinished(job.status)) return { kind: 'finished', status: job.status };
        if (job.status === 'running' || isPending(job)) return { kind: 'underway' };
        if (job.executionId !== null) return { kind: admit(job) ? 'underway' : 'parked' };
        const dueInMs = (job.scheduledFor ?? now) - now;
        if (dueInMs > 0) return { kind: 'early', dueInMs };
        if (job.status === 'scheduled') {
          Object.assign(job, { status: 'queued', scheduledFor: null, waitReason: null });
          emit(job, { kind: 'job.queued' });
        }
        job.executionId = executionId;
        enterLanes(job);
        const pending = admit(job);
        touch(job);
        return { kind: pending ? 'underway' : 'parked' };
      },
    },
    claimsOf: (node) => ({
      async claim(max, room = {}) {
        const left = new Map(Object.entries(room));
        const claimed: Claim[] = [];
        const mine = all((job) => isPending(job) && (job.pin === null || job.pin === node));
        for (const job of mine.sort(by(({ score }) => score))) {
          const slots = left.get(job.request.provider) ?? Number.POSITIVE_INFINITY;
          if (claimed.length >= max || slots <= 0 || !isPending(job)) continue;
          if (job.startedAt === null && job.deadline !== null && job.deadline < now) {
            settle(job, 'failed', EXPIRED);
            continue;
          }
          left.set(job.request.provider, slots - 1);
          claimed.push(start(job, node));
        }
        return claimed;
      },
      async renew(executions) {
        nodes.set(node, now);
        return executions.map(({ jobId, executionId }) => {
          const job = current(jobId, executionId);
          if (job?.node !== node) return 'lost';
          job.leaseEnd = now + LEASE_MS;
          if (job.cancel === 'none') return 'held';
          return job.cancel === 'forced' ? 'cancel-force' : 'cancel';
        });
      },
      async append(id, executionId, from, events) {
        const job = current(id, executionId);
        if (job === null) return 'fenced';
        append(job, from, events);
        return 'unread';
      },
      async finish({ jobId, executionId, outcome, backoffMs, from, tail }) {
        const ended = jobs.get(jobId)?.ended;
        if (ended?.executionId === executionId) return ended.as;
        const job = current(jobId, executionId);
        if (job === null) return 'superseded';
        append(job, from, tail);
        return end(job, outcome, backoffMs !== null && outcome.error?.retryable === true, backoffMs ?? 0);
      },
    }),
    upkeepOf: (node) => ({
      async expire(outcome) {
        const due = all((job) => waits(job) && job.startedAt === null && (job.deadline ?? now + 1) <= now);
        for (const job of due.sort(by((one) => one.deadline ?? 0))) settle(job, 'failed', outcome);
        return due.map(({ id }) => id);
      },
      async settleLost(absentMs, lost, unavailable) {
        const ids: string[] = [];
        const silent = [...nodes].filter(([, seen]) => seen <= now - absentMs);
        for (const [name] of silent.sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))) {
          const runs = all((job) => job.status === 'running' && job.node === name);
          if (runs.every(({ leaseEnd }) => leaseEnd <= now)) nodes.delete(name);
          for (const job of runs.sort(by(({ leaseEnd }) => leaseEnd))) {
            if (job.leaseEnd > now) continue;
            const { executionId } = job;
            end(job, { ...lost, executionId }, true, LOST_BACKOFF_MS);
            job.ended = { executionId, as: 'superseded' };
            ids.push(job.id);
          }
        }
        const pinned = all((job) => isPending(job) && job.pin !== null);
        for (const job of pinned.sort(by(({ pendingSince }) => pendingSince))) {
          const isSilent = silent.some(([name]) => name === job.pin);
          if (!isSilent && (job.pendingSince > now - absentMs || nodes.has(job.pin ?? ''))) continue;
          settle(job, 'failed', unavailable);
          ids.push(job.id);
        }
        return ids;
      },
      leave: async () => void nodes.delete(node),
      counts: async () => ({
        pending: all((job) => isPending(job) && (job.pin === null || job.pin === node)).length,
        awaiting: all((job) => waits(job) && job.executionId === null).length,
        running: all((job) => job.status === 'running').length,
        nodes: nodes.size,
      }),
    }),
  };
}
