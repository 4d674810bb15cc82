import { EXPIRED, PEEK_MAX_BYTES, WINDOW } from '../../../src/records/claims.ts';
import type { Claims, LeaseState, TimedEvent } from '../../../src/records/ports.ts';
import { type MemoryJob, newMemoryJob, toClaim } from './memory-job.ts';
import type { MemoryState } from './state.ts';
import { admit, emit, endExecution, forget, settle, tell, touch } from './transitions.ts';

type Scored = readonly [id: string, score: number];

const bestFirst = ([aId, a]: Scored, [bId, b]: Scored): number => a - b || (aId < bId ? -1 : 1);

/** {@link Claims} in memory, for one node. */
export function createMemoryClaims(
  state: MemoryState,
  node: string,
  timing: { readonly leaseMs: number; readonly leaderMs: number },
  roots: readonly string[] | null,
): Claims {
  /** Whether this node may run it: it is pinned here, or its folder is inside one of the roots. */
  function allowed(job: MemoryJob): boolean {
    const { cwd } = job.request;
    if (roots === null || job.pin === node) return true;
    return roots.some((root) => cwd === root || root === '/' || cwd.startsWith(`${root}/`));
  }

  /** The job of an execution that is under way. */
  function current(jobId: string, executionId: string): MemoryJob | null {
    const job = state.find(jobId);
    return job !== null && job.status === 'running' && job.executionId === executionId ? job : null;
  }

  /** How many listen to the job's events. */
  function appendFrom(job: MemoryJob, from: number, events: readonly TimedEvent[]): number {
    const fresh = events.slice(Math.max(0, job.appended - from));
    if (fresh.length === 0) return 0;
    const listeners = emit(
      state,
      job,
      fresh.map(({ event, raw, at }) => ({ body: event, raw, at })),
    );
    job.appended = from + events.length;
    return listeners;
  }

  /** Takes one pending job for this node; null when it cannot be run any more. */
  function take(id: string): MemoryJob | null {
    const job = state.find(id);
    if (job === null || job.status !== 'queued' || job.executionId === null) {
      forget(state, id, node);
      return null;
    }
    if (job.startedAt === null && job.deadline !== null && job.deadline < state.now()) {
      settle(state, job, 'failed', EXPIRED);
      return null;
    }
    if (!allowed(job)) return null;
    forget(state, id, job.pin);
    state.running.set(id, state.now() + timing.leaseMs);
    job.attempt += 1;
    Object.assign(job, { status: 'running', node, appended: 0, waitReason: null });
    job.startedAt ??= state.now();
    tell(state, job, { kind: 'job.running', executionId: job.executionId, node });
    touch(state, job);
    return job;
  }

  return {
    async claim(max, room = {}) {
      const left = new Map(Object.entries(room));
      const providerOf = (id: string): string => state.find(id)?.request.provider ?? '';
      const isFull = (provider: string): boolean => (left.get(provider) ?? 1) <= 0;
      const best = [null, node].flatMap((pin) => {
        const pending = state.pendingOf(pin).upTo(Number.POSITIVE_INFINITY);
        // As far as the window goes; with limits each provider has one of its own.
        const groups = Map.groupBy(pending, ([id]) => (left.size === 0 ? '' : providerOf(id)));
        return [...groups.values()].flatMap((group) => group.slice(0, max + WINDOW));
      });
      best.sort(bestFirst);
      const claimed: MemoryJob[] = [];
      for (const [id] of best) {
        if (claimed.length >= max) break;
        const provider = providerOf(id);
        const job = isFull(provider) ? null : take(id);
        if (job === null) continue;
        claimed.push(job);
        left.set(provider, (left.get(provider) ?? Number.POSITIVE_INFINITY) - 1);
      }
      return claimed.map(toClaim);
    },

    async peek(max) {
      const best = [null, node].flatMap((pin) =>
        state.pendingOf(pin).upTo(Number.POSITIVE_INFINITY).slice(0, max),
      );
      best.sort(bestFirst);
      const jobs = best.slice(0, max).map(([id]) => state.find(id));
      return jobs
        .filter((job): job is MemoryJob => job?.status === 'queued' && allowed(job))
        .map(({ request }) => request)
        .filter((request) => Buffer.byteLength(JSON.stringify(request)) <= PEEK_MAX_BYTES);
    },

    async owned() {
      const running = state.running.upTo(Number.POSITIVE_INFINITY).map(([id]) => state.find(id));
      return running
        .filter((job): job is MemoryJob => job?.status === 'running' && job.node === node)
        .map(toClaim);
    },

    async renew(executions) {
      state.nodes.set(node, state.now());
      return executions.map(({ jobId, executionId }): LeaseState => {
        const job = current(jobId, executionId);
        if (job === null || job.node !== node) return 'lost';
        state.running.set(jobId, state.now() + timing.leaseMs);
        if (job.cancel === 'none') return 'held';
        return job.cancel === 'forced' ? 'cancel-force' : 'cancel';
      });
    },

    async append(jobId, executionId, from, events) {
      const job = current(jobId, executionId);
      if (job === null) return 'fenced';
      return appendFrom(job, from, events) > 0 ? 'read' : 'unread';
    },

    async finish({ jobId, executionId, outcome, from, tail, backoffMs, rawAnswer }) {
      const known = state.find(jobId)?.ended;
      if (known?.executionId === executionId) return known.as;
      const job = current(jobId, executionId);
      if (job === null) return 'superseded';
      appendFrom(job, from, tail);
      const retryable = backoffMs !== null && outcome.error?.retryable === true;
      const how = endExecution(state, job, { executionId, outcome, retryable, backoffMs: backoffMs ?? 0 });
      if (rawAnswer !== null && rawAnswer !== '') state.publish(state.settings.responseChannel, rawAnswer);
      return how;
    },

    async adopt(given, executionId) {
      if (state.leader !== null && state.leader !== node) {
        const seen = state.nodes.score(state.leader);
        if (seen !== null && seen > state.now() - timing.leaderMs) return false;
      }
      state.leader = node;
      state.nodes.set(node, state.now());
      const job = newMemoryJob(given);
      job.executionId = executionId;
      state.add(job);
      tell(state, job, { kind: 'job.queued' });
      admit(state, job);
      touch(state, job);
      return true;
    },
  };
}
