/** The events of an execution, as its server reads them: the stored ones, then live. */
import { lostOutcome } from '../../executor/outcomes.ts';
import type { StoredEvent } from '../../protocol/event.ts';
import type { ExecutionLine, Reported } from '../../protocol/executor-service.ts';
import type { Outcome } from '../../protocol/outcome.ts';
import type { Store } from '../../store/store.ts';
import { type LiveExecution, wake } from './live.ts';

/** A page of stored events is in memory for each reader. */
const PAGE = { limit: 500, maxBytes: 512 * 1024 };

/** Of an execution whose CLI did not run, or was lost. */
export const NOTHING_REPORTED: Reported = {
  sessionTokens: null,
  limitedModel: null,
  account: null,
  finalLine: null,
};

/**
 * Yields the events with a number > `after`, then the end. A slow reader makes it read later: it
 * holds one page.
 * @param one null: it has ended, and the ledger has its outcome
 */
export async function* linesOf(
  id: string,
  one: LiveExecution | null,
  after: number,
  { store, signal }: { readonly store: Pick<Store, 'run'>; readonly signal: AbortSignal },
): AsyncGenerator<ExecutionLine, void, void> {
  for (let n = after; !signal.aborted; ) {
    // Before the look: what comes after it is not missed.
    const changed = one?.changed.promise;
    const isOver = one === null || one.finish !== null;
    const page = liveLines(one, n) ?? (await storedLines(id, n, store));
    for (const line of page) {
      yield line;
      n = line.n;
      if (signal.aborted) return;
    }
    if (page.length > 0) continue;
    if (isOver) {
      yield await endOf(id, one, store);
      return;
    }
    await changed;
  }
}

/** Wakes the reader of an execution when `signal` aborts. Returns what ends that. */
export function wakeAtAbort(one: LiveExecution, signal: AbortSignal): () => void {
  const onAbort = (): void => wake(one);
  signal.addEventListener('abort', onAbort, { once: true });
  return () => signal.removeEventListener('abort', onAbort);
}

type EventLine = Extract<ExecutionLine, { type: 'event' }>;

/** What a reader that has all others is to get; null: it reads the store. */
function liveLines(one: LiveExecution | null, after: number): readonly EventLine[] | null {
  if (one === null) return null;
  if (after >= one.events) return [];
  const { batch } = one;
  if (batch === null || batch.from !== after) return null;
  return batch.events.map(({ event, raw }, index) => ({
    ...{ type: 'event', n: after + index + 1, event, raw },
  }));
}

async function storedLines(
  jobId: string,
  after: number,
  store: Pick<Store, 'run'>,
): Promise<readonly EventLine[]> {
  const events = await store.run('events.page', { jobId, after, ...PAGE });
  return events.map(({ seq, jobId: _, attempt: __, at: ___, raw, ...event }: StoredEvent) => {
    // as: only events of executions are stored under the id of one.
    return { type: 'event', n: seq, event, raw } as EventLine;
  });
}

async function endOf(
  id: string,
  one: LiveExecution | null,
  store: Pick<Store, 'run'>,
): Promise<ExecutionLine> {
  const ended = (outcome: Outcome, reported: Reported | null | undefined): ExecutionLine => ({
    ...{ type: 'ended', outcome, reported: reported ?? NOTHING_REPORTED },
  });
  if (one !== null && one.finish !== null) return ended(one.finish.outcome, one.finish.reported);
  const row = await store.run('executions.lastOf', { jobId: id });
  if (row === null || !('outcome' in row) || row.outcome === null) return ended(lostOutcome(id), null);
  return ended(row.outcome, row.delivery?.reported);
}
