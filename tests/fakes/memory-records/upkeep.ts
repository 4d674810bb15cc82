import type { Outcome } from '../../../src/protocol/outcome.ts';
import type { Upkeep } from '../../../src/records/ports.ts';
import type { MemoryJob } from './memory-job.ts';
import type { MemoryState } from './state.ts';
import { endExecution, settle } from './transitions.ts';

const waits = (job: MemoryJob | null): job is MemoryJob =>
  job?.status === 'queued' || job?.status === 'scheduled';

/** {@link Upkeep} in memory, for one node. */
export function createMemoryUpkeep(state: MemoryState, node: string, backoffMs: number): Upkeep {
  /** Ends what a silent node was running; false when a lease of it still holds. */
  function endRunsOf(silent: string, lost: Outcome, out: string[]): boolean {
    let all = true;
    for (const [id, leaseEnd] of state.running.upTo(Number.POSITIVE_INFINITY)) {
      const job = state.find(id);
      if (job?.status !== 'running' || job.node !== silent || job.executionId === null) continue;
      if (leaseEnd > state.now()) {
        all = false;
        continue;
      }
      const { executionId } = job;
      const outcome = { ...lost, executionId: lost.executionId ?? executionId };
      endExecution(state, job, { executionId, outcome, retryable: true, backoffMs });
      job.ended = { executionId, as: 'superseded' };
      out.push(id);
    }
    return all;
  }

  return {
    async undelivered(againInMs, limit) {
      const out: string[] = [];
      for (const [id] of state.awaiting.upTo(state.now()).slice(0, limit)) {
        const job = state.find(id);
        if (waits(job) && job.executionId === null) {
          state.awaiting.set(id, state.now() + againInMs);
          out.push(id);
        } else state.awaiting.delete(id);
      }
      return out;
    },

    async held(ids, againInMs) {
      for (const id of ids)
        if (state.awaiting.score(id) !== null) state.awaiting.set(id, state.now() + againInMs);
    },

    async expire(outcome, limit) {
      const out: string[] = [];
      for (const [id] of state.expiries.upTo(state.now()).slice(0, limit)) {
        const job = state.find(id);
        if (waits(job)) {
          settle(state, job, 'failed', outcome);
          out.push(id);
        } else state.expiries.delete(id);
      }
      return out;
    },

    async settleLost(absentMs, lost, unavailable) {
      const out: string[] = [];
      const since = state.now() - absentMs;
      const silent = new Set(state.nodes.upTo(since).map(([id]) => id));
      for (const id of silent) if (endRunsOf(id, lost, out)) state.nodes.delete(id);
      for (const [id, pendingSince] of state.pinned.upTo(Number.POSITIVE_INFINITY)) {
        const job = state.find(id);
        if (job === null || job.pin === null) continue;
        const neverCame = pendingSince <= since && state.nodes.score(job.pin) === null;
        if (!silent.has(job.pin) && !neverCame) continue;
        settle(state, job, 'failed', unavailable);
        out.push(id);
      }
      return out;
    },

    async leave() {
      state.nodes.delete(node);
      if (state.leader === node) state.leader = null;
    },

    async counts() {
      return {
        pending: state.pendingOf(null).size + state.pendingOf(node).size,
        awaiting: state.awaiting.size,
        running: state.running.size,
        nodes: state.nodes.size,
      };
    },
  };
}
