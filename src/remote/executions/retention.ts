import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import { type KeepTimes, removeOld } from '../../store/remove-old.ts';
import type { Store } from '../../store/store.ts';

/** Removes the executions that ended long ago, with their events. */
export function createRetention({
  store,
  settings: { keepEventsMs, keepUsageMs, maxTimeoutMs },
  everyMs,
  logger,
}: {
  readonly store: Pick<Store, 'run'>;
  readonly settings: Omit<KeepTimes, 'keepJobsMs'> & { readonly maxTimeoutMs: number };
  readonly everyMs: number;
  readonly logger: Logger;
}): { start(): void; stop(): Promise<void> } {
  const stopping = new AbortController();
  // There is no record of a job that shows that an execution still runs.
  const keepMs = Math.max(keepEventsMs, 2 * maxTimeoutMs);
  const keep = { keepJobsMs: keepMs, keepEventsMs: keepMs, keepUsageMs };
  let timer: NodeJS.Timeout | null = null;
  let running: Promise<void> | null = null;

  async function removeNow(): Promise<void> {
    try {
      const removed = await removeOld(store, keep, stopping.signal);
      if (removed !== null) logger.info(removed, 'old executions were removed');
    } catch (error) {
      logger.warn({ reason: messageOf(error) }, 'old executions could not be removed');
    }
  }

  return {
    start() {
      timer = setInterval(() => {
        running ??= removeNow().finally(() => {
          running = null;
        });
      }, everyMs);
    },
    async stop() {
      stopping.abort();
      if (timer !== null) clearInterval(timer);
      await running;
    },
  };
}
