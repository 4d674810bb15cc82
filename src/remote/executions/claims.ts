/** The executor's {@link Claims}: what servers on other hosts have submitted. */

import type { StoredEvent } from '../../protocol/event.ts';
import { RENEW_WITHIN_MS } from '../../protocol/executor-service.ts';
import type { Claims, Finish, LeaseState, TimedEvent } from '../../records/ports.ts';
import type { Store } from '../../store/store.ts';
import { type LiveExecution, type LiveExecutions, waiting, wake } from './live.ts';

export interface ExecutorClaimsOptions {
  readonly live: LiveExecutions;
  readonly store: Pick<Store, 'run'>;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** Ends an execution that waits, and whose server has not asked for it for too long. */
  abandon(one: LiveExecution): void;
  /** An execution has ended. */
  onEnded(finish: Finish): void;
}

export function createExecutorClaims({ live, store, now, abandon, onEnded }: ExecutorClaimsOptions): Claims {
  const isAbandoned = ({ renewedAt, followers }: LiveExecution): boolean =>
    followers === 0 && now() - renewedAt > RENEW_WITHIN_MS;

  function leaseOf(one: LiveExecution | undefined): LeaseState {
    if (one === undefined) return 'held'; // its outcome is being delivered
    const { cancel } = one;
    if (cancel === null) return isAbandoned(one) ? 'abandoned' : 'held';
    if (cancel.reason === 'interrupted') return cancel.force ? 'interrupt-force' : 'interrupt';
    return cancel.force ? 'cancel-force' : 'cancel';
  }

  async function storeEvents(id: string, from: number, events: readonly TimedEvent[]): Promise<void> {
    const attempt = live.get(id)?.claim.attempt ?? 1;
    const stored = events.map(({ event, raw, at }, index): StoredEvent => {
      const seq = from + index + 1;
      return { seq, jobId: id, attempt, at: new Date(at).toISOString(), raw, ...event };
    });
    await store.run('events.append', { jobId: id, events: stored });
  }

  /** Stores events, then shows them to those who follow. */
  async function add(id: string, from: number, events: readonly TimedEvent[]): Promise<void> {
    if (events.length === 0) return;
    await storeEvents(id, from, events);
    const one = live.get(id);
    if (one === undefined) return;
    one.events = Math.max(one.events, from + events.length);
    one.batch = { from, events };
    wake(one);
  }

  return {
    async claim(max, room = {}) {
      const left = new Map(Object.entries(room));
      const taken: LiveExecution[] = [];
      for (const one of waiting(live)) {
        if (taken.length >= max) break;
        const { provider } = one.claim.request;
        const free = left.get(provider);
        if (free === 0) continue;
        if (free !== undefined) left.set(provider, free - 1);
        one.state = 'claimed';
        taken.push(one);
      }
      return { claims: taken.map(({ claim }) => claim), given: [] };
    },
    giveBack: async () => undefined,
    peek: async (max) =>
      waiting(live)
        .slice(0, max)
        .map(({ claim }) => claim),
    owned: async () => [],
    async renew(executions) {
      for (const one of waiting(live)) if (isAbandoned(one)) abandon(one);
      return executions.map(({ executionId }) => leaseOf(live.get(executionId)));
    },
    async append(id, _executionId, from, events) {
      await add(id, from, events);
      return (live.get(id)?.followers ?? 0) > 0 ? 'read' : 'unread';
    },
    async finish(finish) {
      const { executionId: id, from, tail } = finish;
      await add(id, from, tail);
      const one = live.get(id);
      if (one !== undefined && one.finish === null) {
        one.finish = finish;
        onEnded(finish);
        wake(one);
      }
      return 'finished';
    },
    adopt: async () => false,
  };
}
