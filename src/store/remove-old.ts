/** Removes old rows in slices, beside the work of the store. */
import { pause } from '../timing.ts';
import type { Retention, Swept } from './retention.ts';
import type { Store } from './store.ts';

/** Rows removed in one step. Intents and lists wait for a step. */
const RETENTION_SLICE = 500;

/** How long each kind is kept, in milliseconds. */
export interface KeepTimes {
  readonly keepJobsMs: number;
  readonly keepEventsMs: number;
  readonly keepUsageMs: number;
}

type Removed = Pick<Swept, 'jobs' | 'events' | 'executions' | 'usage'>;

/**
 * Removes all old rows, until `signal` aborts. It pauses as long as each step took, to leave the
 * store to others. Returns null when there were none.
 */
export async function removeOld(
  store: Pick<Store, 'run'>,
  { keepJobsMs, keepEventsMs, keepUsageMs }: KeepTimes,
  signal: AbortSignal,
): Promise<Removed | null> {
  const before = (ms: number): string => new Date(Date.now() - ms).toISOString();
  const limits: Retention = {
    finishedJobsBefore: before(keepJobsMs),
    eventsBefore: before(keepEventsMs),
    usageBefore: before(keepUsageMs),
    limit: RETENTION_SLICE,
  };
  const removed = { jobs: 0, events: 0, executions: 0, usage: 0 };
  for (let after: string | null = ''; after !== null && !signal.aborted; ) {
    const startedAt = performance.now();
    const swept: Swept = await store.run('retention.sweep', { ...limits, after });
    removed.jobs += swept.jobs;
    removed.events += swept.events;
    removed.executions += swept.executions;
    removed.usage += swept.usage;
    after = swept.more ? swept.after : null;
    if (swept.more) await pause(performance.now() - startedAt, signal);
  }
  return Object.values(removed).some((count) => count > 0) ? removed : null;
}
