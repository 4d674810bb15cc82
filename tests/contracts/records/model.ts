/**
 * The life of jobs as a plain state machine, without Redis: random sequences of steps must give the
 * same on both. It keeps no sets: the jobs say which is pending, first in a lane, or lost.
 * It forgets nothing, so a sequence must be shorter than the time that Redis keeps a finished job.
 */

import { wireError } from '../../../src/errors.ts';
import type { EventBody, StoredEvent } from '../../../src/protocol/event.ts';
import { isFinished, type JobStatus } from '../../../src/protocol/job.ts';
import type { Outcome } from '../../../src/protocol/outcome.ts';
import { EXPIRED, UNANSWERED } from '../../../src/records/claims.ts';
import type { Claim, FinishResult, JobRecord, NewJob, TimedEvent } from '../../../src/records/ports.ts';
import { lanesOf, scoreOf } from '../../../src/records/record-codec.ts';
import { CALLER_LIMITS, LEASE_MS, LOST_BACKOFF_MS } from '../../helpers/redis-records.ts';
import { createModelApprovals, type Left } from './model-approvals.ts';
import type { RandomSteps } from './random.ts';

const PARKED_MS = 15_000; // as in waiting.lua
const SLOTS_MS = 10_000;
const CAPPED = CALLER_LIMITS.projects.capped;

/** A record, and what decides its next step. */
interface Job extends Omit<{ -readonly [Key in keyof JobRecord]: JobRecord[Key] }, 'lastSeq'> {
  readonly events: StoredEvent[];
  score: number;
  /** The priority that was changed; null: that of the request. */
  priority: number | null;
  deadline: number | null;
  /** When the first of the approvals expires that it waits for. */
  waitUntil: number;
  /** Its place in each lane it has entered. */
  readonly lanes: Map<string, number>;
  /** The node that has the transcript of its session. */
  sessionNode: string | null;
  /** Executions that continued it for nothing. */
  continued: number;
  /** Events of the current execution that were appended. */
  appended: number;
  /** The node that may claim it, and its place there. */
  given: { readonly node: string; readonly place: number } | null;
  /** When a pinned job first became ready, or its node left since. */
  pinnedSince: number | null;
  /** When a parked job is looked at again. */
  parkedUntil: number | null;
  leaseEnd: number;
  /** The execution that ended last, and how FINISH answered it. */
  ended: { executionId: string | null; as: FinishResult } | null;
}

const waits = (job: Job): boolean => job.status === 'queued' || job.status === 'scheduled';
const isReady = (job: Job): boolean =>
  job.status === 'queued' && job.waitReason === null && job.given === null;
const isParked = (job: Job): boolean => job.status === 'queued' && job.waitReason !== null;
const projectOf = (job: Job): string => job.project;
const principalOf = (job: Job): string => `${job.project} ${job.principal}`;
/** Sorts by a number, then by id, as a sorted set does. */
const by =
  (key: (job: Job) => number) =>
  (a: Job, b: Job): number =>
    key(a) - key(b) || (a.id < b.id ? -1 : 1);

export function createModel(): RandomSteps {
  let now = 1_790_000_000_000;
  const jobs = new Map<string, Job>();
  /** The node of each session that has a record. */
  const sessions = new Map<string, string | null>();
  function ensureSession(id: string): boolean {
    const first = jobs.get(id);
    if (!sessions.has(id) && first?.sessionId === id) sessions.set(id, first.sessionNode);
    return sessions.has(id);
  }
  const nodes = new Map<string, number>();
  const states = new Map<
    string,
    { at: number; free: number; room: Record<string, number>; held: ReadonlySet<string> }
  >();
  /** The gates that a person has closed. */
  const held = new Set<string>();
  const isHeld = (gates: ReadonlySet<string>, node: string, { project, request }: Job): boolean =>
    ['queue', `node:${node}`, `project:${project}`, `provider:${request.provider}`].some((gate) =>
      gates.has(gate),
    );
  /** The credential that a node has for claude, and until when the rest of its limit is kept. */
  const credentials = new Map<string, string>();
  const reserves = new Map<string, number>();
  const hasReserve = (node: string): boolean => (reserves.get(credentials.get(node) ?? '') ?? 0) > now;
  const isKept = (job: Job, node: string): boolean =>
    job.request.provider === 'claude' && (job.priority ?? job.request.priority) < 0 && hasReserve(node);
  /** Limits of a project; those of principals are the same code. */
  const capOf = ({ project }: Pick<Job, 'project'>) => (project === 'capped' ? CAPPED : null);
  const hasRoomFor = (job: Job, holds: (one: Job) => boolean): boolean => {
    const cap = capOf(job);
    return cap === null || all((one) => one.project === job.project && holds(one)).length < cap.maxRunning;
  };
  const isSilent = (node: string): boolean => (states.get(node)?.at ?? 0) <= now - SLOTS_MS;
  /** The virtual times of projects and principals. */
  const turns = new Map<string, number>();
  const levelOf = (name: string, job: Job): string =>
    name === projectOf(job) ? '*' : `* of ${projectOf(job)}`;
  const turnOf = (name: string, job: Job): number =>
    Math.max(turns.get(name) ?? 0, turns.get(levelOf(name, job)) ?? 0);
  /** Jobs whose entry in BullMQ is to be promoted or removed. */
  const released = new Set<string>();
  let places = 0;
  /** Which job was made how early. */
  const orders = new Map<string, number>();
  const keys = new Map<string, { readonly id: string; readonly fingerprint: string }>();
  const log: string[] = [];
  const all = (which: (job: Job) => boolean): Job[] => [...jobs.values()].filter(which);
  const { approvals, messages, ...asked } = createModelApprovals({
    now: () => now,
    job: (id) => jobs.get(id),
    isStopped: (id) => jobs.get(id)?.cancel !== 'none',
    emit(id, body) {
      const job = jobs.get(id);
      if (job !== undefined) emit(job, body);
    },
    note: (entry) => void log.push(entry),
    onRule: ensureSession,
    onOver(id) {
      const job = jobs.get(id);
      if (job?.status !== 'waiting') return;
      const left = asked.leftOf(job);
      waitForAnswers(job, left);
      if (left.pending === 0) touch(job);
    },
  });

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
    for (const lane of lanesOf(job)) if (!job.lanes.has(lane)) job.lanes.set(lane, orders.get(job.id) ?? 0);
  }
  function enterFirst(job: Job): void {
    const first = jobs.get(job.sessionId);
    if (first === undefined || first === job || isFinished(first.status)) return;
    if (!first.lanes.has(`s:${first.id}`)) first.lanes.set(`s:${first.id}`, 0);
  }
  function admit(job: Job): boolean {
    for (const lane of job.lanes.keys()) {
      if (headOf(lane) === job) continue;
      job.waitReason = lane.startsWith('s:') ? 'session' : 'concurrency_key';
      job.parkedUntil = now + PARKED_MS;
      return false;
    }
    for (const lane of job.lanes.keys()) job.lanes.set(lane, 0);
    Object.assign(job, { waitReason: null, given: null });
    const { sessionId } = job;
    if (sessionId !== job.id) job.pin ??= sessions.get(sessionId) ?? jobs.get(sessionId)?.sessionNode ?? null;
    if (job.pin !== null) job.pinnedSince ??= now;
    return true;
  }
  function give(job: Job, node: string): void {
    places += 1;
    job.given = { node, place: places };
    released.add(job.id);
  }
  const givenTo = (node: string): Job[] =>
    all((job) => job.status === 'queued' && job.given?.node === node).sort(
      by((job) => job.given?.place ?? 0),
    );
  function takeBack(job: Job): void {
    released.delete(job.id);
    Object.assign(job, { given: null, executionId: null });
    admit(job);
    touch(job);
  }
  function takeBackFrom(node: string): void {
    states.delete(node);
    for (const job of givenTo(node)) takeBack(job);
  }
  function becomeDue(job: Job): void {
    Object.assign(job, { status: 'queued', scheduledFor: null, waitReason: null });
    emit(job, { kind: 'job.queued' });
    enterLanes(job);
    admit(job);
  }
  function leaveLanes(job: Job, except: string | null = null): void {
    const left = new Set([...lanesOf(job), ...job.lanes.keys()]);
    if (except !== null) left.delete(except);
    for (const lane of left) job.lanes.delete(lane);
    for (const lane of left) {
      const head = headOf(lane);
      if (head === undefined || !isParked(head)) continue;
      admit(head);
      touch(head);
    }
  }
  function waitForAnswers(job: Job, { pending, expiresAt }: Left): void {
    if (pending === 0) {
      becomeDue(job);
      return;
    }
    job.waitUntil = expiresAt;
    if (job.status === 'waiting') return;
    Object.assign(job, { status: 'waiting', waitReason: 'approval', scheduledFor: null });
    emit(job, { kind: 'job.waiting', waitReason: 'approval' });
  }
  function settle(job: Job, status: JobStatus, outcome: Outcome): void {
    asked.leave(job);
    if (job.status === 'running') released.delete(job.id);
    else released.add(job.id);
    Object.assign(job, {
      status,
      outcome,
      finishedAt: now,
      waitReason: null,
      scheduledFor: null,
      given: null,
    });
    emit(job, { kind: 'job.finished' } as EventBody); // the job in it is added by readers
    touch(job);
    leaveLanes(job);
  }
  /** Whether the job changes with its new time. */
  function runAt(job: Job, at: number, deadline: number | null): boolean {
    const postponed = at > now && !(job.waitReason === 'delayed' && job.scheduledFor === at);
    if (!postponed && !(at <= now && job.status === 'scheduled')) return false;
    const { status } = job;
    if (job.startedAt === null && deadline !== null) job.deadline = deadline;
    if (!postponed) becomeDue(job);
    else {
      released.delete(job.id);
      Object.assign(job, { given: null, executionId: null, pinnedSince: null, parkedUntil: null });
      schedule(job, 'delayed', at);
      if (status === 'queued') leaveLanes(job, `s:${job.id}`);
    }
    return true;
  }
  function end(
    job: Job,
    outcome: Outcome,
    retryable: boolean,
    backoffMs: number,
    parked = false,
  ): FinishResult {
    const { executionId } = job;
    asked.refuseMessages(job);
    emit(job, { kind: 'execution.finished', executionId, outcome } as EventBody); // it has one
    const { sessionNode, request } = job;
    const continues = sessionNode !== null && request.retryMode !== 'restart';
    const interrupted = ['execution.lost', 'execution.overloaded'].includes(outcome.error?.code ?? '');
    const isLost = outcome.error?.code === 'execution.lost';
    if (job.cancel === 'none' && (parked || (isLost && continues))) {
      const open = asked.leftOf(job);
      if (parked) asked.dropOffered(open, job.attempt);
      if (open.pending > 0 || (open.unused.length > 0 && (parked || job.continued < 3))) {
        if (open.pending === 0 && !parked) job.continued += 1;
        job.ended = { executionId, as: 'waiting' };
        Object.assign(job, { executionId: null, node: null, pin: sessionNode ?? job.pin });
        waitForAnswers(job, open);
        touch(job);
        return 'waiting';
      }
    }
    const free = continues && interrupted && request.autoContinue !== false && job.continued < 3;
    if (outcome.status === 'failed' && !free) job.failures += 1;
    const left = free || job.failures < request.maxAttempts;
    job.ended = { executionId, as: 'finished' };
    if (!retryable || !left || job.cancel !== 'none') {
      if (parked && job.cancel !== 'none') settle(job, 'cancelled', stopped(outcome, job.cancel));
      else settle(job, outcome.status, outcome);
      return 'finished';
    }
    const due = now + backoffMs;
    job.ended.as = 'scheduled';
    if (free) job.continued += 1;
    Object.assign(job, { executionId: null, node: null, pin: continues ? sessionNode : job.pin });
    asked.closeAll(job, false);
    schedule(job, 'backoff', due);
    touch(job);
    return 'scheduled';
  }
  function make(given: NewJob): void {
    const { idempotency: _, limited: __, ...made } = given;
    const { delayMs, ttlMs } = given.request;
    const due = now + delayMs;
    const job: Job = {
      ...{
        ...made,
        batch: null,
        forged: false,
        archived: false,
        rev: 0,
        status: 'queued',
        waitReason: null,
        scheduledFor: null,
      },
      ...{ attempt: 0, failures: 0, executionId: null, node: null, cancel: 'none', outcome: null },
      ...{ startedAt: null, finishedAt: null, events: [], score: scoreOf(given), priority: null },
      lanes: new Map(),
      deadline: ttlMs === null ? null : due + ttlMs,
      waitUntil: 0,
      ...{ nativeSessionId: null, sessionNode: null, continued: 0 },
      ...{ appended: 0, given: null, pinnedSince: null, parkedUntil: null, leaseEnd: 0, ended: null },
    };
    jobs.set(job.id, job);
    orders.set(job.id, orders.size + 1);
    enterFirst(job);
    if (delayMs > 0) schedule(job, 'delayed', due);
    else emit(job, { kind: 'job.queued' });
    touch(job);
    const { sessionId } = job;
    if (sessionId !== job.id && !ensureSession(sessionId)) sessions.set(sessionId, null);
    if (delayMs > 0) return;
    enterLanes(job);
    admit(job);
  }
  /** The first node that has a free slot for a lone job. */
  function nodeWithRoom(job: Job): string | undefined {
    return [...states.keys()].sort().find((name) => {
      const { free = 0, room = {} } = states.get(name) ?? {};
      const roomFor = (one: Job) => room[one.request.provider] ?? Number.POSITIVE_INFINITY;
      const isBarred = (one: Job) => isHeld(states.get(name)?.held ?? held, name, one);
      const slots = Math.min(free, roomFor(job));
      if (isSilent(name) || isBarred(job) || capOf(job) !== null) return false;
      const others = all((one) => one !== job && isReady(one));
      if (others.some((one) => roomFor(one) > 0 && !isBarred(one))) return false;
      return slots > givenTo(name).length && (job.pin === null || job.pin === name);
    });
  }
  function expire(outcome: Outcome): string[] {
    const until = (job: Job): number =>
      job.status === 'waiting'
        ? job.waitUntil
        : ((waits(job) && job.startedAt === null ? job.deadline : null) ?? now + 1);
    const due = all((job) => until(job) <= now);
    for (const job of due.sort(by(until)))
      settle(job, 'failed', job.status === 'waiting' ? UNANSWERED : outcome);
    return due.map(({ id }) => id);
  }
  /** The first ready job of each queue in fair order. */
  function nextFor(node: string, isFull: (provider: string) => boolean): Job | undefined {
    const mine = all(
      (job) => isReady(job) && (job.pin === null || job.pin === node) && !isHeld(held, node, job),
    );
    const isTaken = (one: Job): boolean =>
      one.status === 'running' || (one.status === 'queued' && one.given !== null);
    const open = mine.filter(
      (job) => !isFull(job.request.provider) && !isKept(job, node) && hasRoomFor(job, isTaken),
    );
    const inTurn = (nameOf: (job: Job) => string) => (a: Job, b: Job) =>
      turnOf(nameOf(a), a) - turnOf(nameOf(b), b) || by(({ score }) => score)(a, b);
    const ofProjects = [...Map.groupBy(open, projectOf).values()].flatMap(
      (jobs) => jobs.sort(inTurn(principalOf))[0] ?? [],
    );
    return ofProjects.sort(inTurn(projectOf))[0];
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
      if (sessions.has(job.sessionId)) sessions.set(job.sessionId, job.node);
    }
  }
  const toClaim = ({ id, executionId, attempt, ...job }: Job): Claim => {
    const { kind, project, principal, grant, sessionId, request } = job;
    const rights = { project, principal, grant, forged: false };
    return { jobId: id, executionId: executionId ?? '', attempt, kind, ...rights, sessionId, request };
  };
  function start(job: Job, node: string): Claim {
    job.attempt += 1;
    job.startedAt ??= now;
    released.delete(job.id);
    Object.assign(job, { status: 'running', node, appended: 0, leaseEnd: now + LEASE_MS });
    Object.assign(job, { given: null, pinnedSince: null });
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
    now: async () => now,
    log: async () => log,
    approvals,
    messages,
    records: {
      async create(given) {
        const { idempotency: used } = given;
        const prior = used === null ? undefined : keys.get(used.key);
        if (prior !== undefined && prior.fingerprint !== used?.fingerprint) return { kind: 'mismatch' };
        if (prior !== undefined) return { kind: 'replayed', jobId: prior.id };
        const cap = capOf(given);
        const queued = all((one) => one.project === given.project && waits(one) && one.attempt === 0).length;
        if (cap !== null && given.limited === true && queued >= cap.maxQueued) {
          const rate = { limit: cap.maxQueued, remaining: 0, resetMs: 0 };
          return { kind: 'limited', limit: 'maxQueued', of: 'project', rate, retryMs: null };
        }
        if (used !== null) keys.set(used.key, { id: given.id, fingerprint: used.fingerprint });
        make(given);
        return { kind: 'created' };
      },
      async read(id) {
        const job = jobs.get(id);
        if (job === undefined) return null;
        const { events, score, deadline, waitUntil, lanes, appended, given, pinnedSince, ...rest } = job;
        const { parkedUntil, leaseEnd, ended, sessionNode, continued, priority, ...record } = rest;
        const request = priority === null ? record.request : { ...record.request, priority };
        return structuredClone({ ...record, request, lastSeq: events.length });
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
      async interrupt(id, outcome) {
        const job = jobs.get(id);
        if (job === undefined) return { kind: 'gone' };
        if (isFinished(job.status)) return { kind: 'finished', status: job.status };
        const before = job.cancel;
        if (before === 'none') job.cancel = 'interrupt';
        if (job.status !== 'running') settle(job, 'cancelled', outcome);
        else if (before === 'none') touch(job);
        return { kind: job.status === 'running' ? 'requested' : 'cancelled' };
      },
      async change(id, { priority, runAt: time }) {
        const job = jobs.get(id);
        if (job === undefined || isFinished(job.status)) return 'finished';
        if ((job.status === 'running' || job.status === 'waiting') && time !== undefined) return 'running';
        let changed = priority !== undefined && priority.value !== job.priority;
        if (priority !== undefined) Object.assign(job, { priority: priority.value, score: priority.score });
        if (time !== undefined && runAt(job, time.at, time.deadline)) changed = true;
        if (changed) touch(job);
        return 'changed';
      },
      async remove(id) {
        const job = jobs.get(id);
        if (job === undefined || !isFinished(job.status)) return false;
        log.push(`d ${id}`);
        asked.remove(job);
        return jobs.delete(id);
      },
      events: async (id, after, limit) => jobs.get(id)?.events.slice(after, after + limit) ?? [],
    },
    gates: {
      async hold(gate, closes) {
        if (closes === held.has(gate)) return false;
        if (closes) held.add(gate);
        else held.delete(gate);
        log.push(`g ${gate}`);
        return true;
      },
      async reserve(credential, _word, resetsAt) {
        const before = reserves.get(credential) ?? 0;
        if (resetsAt <= Math.max(before, now)) return;
        reserves.set(credential, resetsAt);
        log.push(`g reserve:${credential}`);
      },
    },
    submissions: {
      async submit(id, executionId) {
        const job = jobs.get(id);
        if (job === undefined) {
          released.delete(id);
          return { kind: 'gone' };
        }
        if (isFinished(job.status)) return { kind: 'finished', status: job.status };
        if (job.status === 'running' || job.executionId !== null) return { kind: 'underway' };
        if (job.status === 'scheduled') {
          const afterMs = (job.scheduledFor ?? now) - now;
          if (afterMs > 0) return { kind: 'later', afterMs };
          becomeDue(job);
          touch(job);
        }
        if (isParked(job) || job.status === 'waiting') return { kind: 'later', afterMs: null };
        if (job.given === null) {
          const node = nodeWithRoom(job);
          if (node === undefined) return { kind: 'later', afterMs: null };
          give(job, node);
        }
        job.executionId = executionId;
        released.delete(id);
        touch(job);
        return { kind: 'underway' };
      },
    },
    claimsOf: (node) => ({
      async claim(max, room = {}) {
        expire(EXPIRED);
        const left = { ...room };
        const take = (provider: string): void => {
          if (left[provider] !== undefined) left[provider] -= 1;
        };
        const isFull = (provider: string): boolean => (left[provider] ?? 1) <= 0;
        const claims: Claim[] = [];
        const underWay: Job[] = [];
        for (const job of givenTo(node)) {
          const { provider } = job.request;
          const runs = (one: Job): boolean => one.status === 'running';
          if (isHeld(held, node, job) || isKept(job, node) || !hasRoomFor(job, runs)) takeBack(job);
          else if (job.executionId === null || claims.length >= max || isFull(provider)) underWay.push(job);
          else {
            take(provider);
            claims.push(start(job, node));
          }
        }
        const known = { ...left, ...(hasReserve(node) ? { claude: 0 } : {}) };
        states.set(node, { at: now, free: max - claims.length, room: known, held: new Set(held) });
        for (const { request } of underWay) take(request.provider);
        const given: string[] = [];
        for (let more = max - claims.length - underWay.length; more > 0; more -= 1) {
          const job = nextFor(node, isFull);
          if (job === undefined) break;
          give(job, node);
          for (const name of [projectOf(job), principalOf(job)]) {
            const turn = turnOf(name, job);
            turns.set(levelOf(name, job), turn).set(name, turn + 1);
          }
          take(job.request.provider);
          given.push(job.id);
        }
        return { claims, given };
      },
      giveBack: async () => takeBackFrom(node),
      async renew(executions, named) {
        nodes.set(node, now);
        if (named?.['claude'] !== undefined) credentials.set(node, named['claude']);
        return executions.map(({ jobId, executionId }) => {
          const job = current(jobId, executionId);
          if (job?.node !== node) return 'lost';
          job.leaseEnd = now + LEASE_MS;
          if (job.cancel === 'none') return 'held';
          if (job.cancel === 'interrupt') return 'interrupt';
          return job.cancel === 'forced' ? 'cancel-force' : 'cancel';
        });
      },
      async append(id, executionId, from, events) {
        const job = current(id, executionId);
        if (job === null) return 'fenced';
        append(job, from, events);
        return 'unread';
      },
      async finish({ jobId, executionId, outcome, backoffMs, from, tail, parked }) {
        const ended = jobs.get(jobId)?.ended;
        if (ended?.executionId === executionId) return ended.as;
        const job = current(jobId, executionId);
        if (job === null) return 'superseded';
        const state = states.get(job.node ?? '');
        const { provider } = job.request;
        if (state !== undefined && !isSilent(job.node ?? '')) {
          state.free += 1;
          if (state.room[provider] !== undefined) state.room[provider] += 1;
        }
        append(job, from, tail);
        const retryable = backoffMs !== null && outcome.error?.retryable === true;
        return end(job, outcome, retryable, backoffMs ?? 0, parked);
      },
    }),
    upkeepOf: (node) => ({
      expire: async (outcome) => expire(outcome),
      async revoke(ids, outcome) {
        const waiting = ids
          .flatMap((id) => jobs.get(id) ?? [])
          .filter((job) => waits(job) || job.status === 'waiting');
        for (const job of waiting) settle(job, 'failed', outcome);
        return waiting.map(({ id }) => id);
      },
      async sweep() {
        const due = all((job) => job.status === 'scheduled' && (job.scheduledFor ?? now) <= now);
        for (const job of due.sort(by((one) => one.scheduledFor ?? 0))) {
          becomeDue(job);
          touch(job);
        }
        const parked = all((job) => isParked(job) && (job.parkedUntil ?? now) <= now);
        for (const job of parked.sort(by((one) => one.parkedUntil ?? 0))) if (admit(job)) touch(job);
        asked.sweep();
        for (const name of [...states.keys()].sort().filter(isSilent)) takeBackFrom(name);
        const isQueued = (id: string): boolean => jobs.get(id)?.status === 'queued';
        return {
          deliver: [...released].filter(isQueued),
          remove: [...released].filter((id) => !isQueued(id)),
        };
      },
      async removed(ids) {
        for (const id of ids) if (jobs.get(id)?.status !== 'queued') released.delete(id);
      },
      async settleLost(absentMs, lost, unavailable) {
        const ids: string[] = [];
        const silent = [...nodes].filter(([, seen]) => seen <= now - absentMs);
        for (const [name] of silent.sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1))) {
          takeBackFrom(name);
          const runs = all((job) => job.status === 'running' && job.node === name);
          if (runs.every(({ leaseEnd }) => leaseEnd <= now)) {
            nodes.delete(name);
            credentials.delete(name);
          }
          for (const job of runs.sort(by(({ leaseEnd }) => leaseEnd))) {
            if (job.leaseEnd > now) continue;
            const { executionId } = job;
            end(job, { ...lost, executionId }, true, LOST_BACKOFF_MS);
            job.ended = { executionId, as: 'superseded' };
            ids.push(job.id);
          }
        }
        const pinned = all((job) => job.status === 'queued' && job.pinnedSince !== null);
        for (const job of pinned.sort(by(({ pinnedSince }) => pinnedSince ?? 0))) {
          const isSilent = silent.some(([name]) => name === job.pin);
          const since = job.pinnedSince ?? now;
          if (!isSilent && (since > now - absentMs || nodes.has(job.pin ?? ''))) continue;
          settle(job, 'failed', unavailable);
          ids.push(job.id);
        }
        return ids;
      },
      async leave() {
        nodes.delete(node);
        credentials.delete(node);
        takeBackFrom(node);
        for (const job of all(({ pin, pinnedSince }) => pin === node && pinnedSince !== null))
          job.pinnedSince = now;
      },
      counts: async () => ({
        pending: all(isReady).length + [...nodes.keys()].flatMap(givenTo).length,
        parked: all(isParked).length,
        scheduled: all((job) => job.status === 'scheduled').length,
        running: all((job) => job.status === 'running').length,
        nodes: nodes.size,
        approvals: asked.pending(),
      }),
    }),
  };
}

/** The outcome of a job that was to be stopped while its execution ended for a person. */
function stopped(outcome: Outcome, cancel: JobRecord['cancel']): Outcome {
  const error =
    cancel === 'interrupt'
      ? wireError('execution.interrupted', 'the turn was interrupted')
      : wireError('execution.cancelled', 'the job was cancelled');
  return { ...outcome, status: 'cancelled', error };
}
