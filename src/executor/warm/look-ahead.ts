/**
 * Shows the starter the jobs that wait while all slots are taken, so that their processes can boot
 * ahead. These are only hints: a wrong or late one costs a cold start.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { Claims } from '../../records/ports.ts';
import { type PrepareOptions, prepareWaiting } from '../prepare.ts';
import type { CliStarter } from './cli-starter.ts';

/** One look for all doorbells of this time. */
const EVERY_MS = 20;
/** Workers beyond the concurrency, whose jobs the executor sees while all slots are taken. */
const EXTRA_WORKERS = 2;

/** The number of sandboxed workers. */
export const workersFor = (settings: {
  readonly workers: number | null;
  readonly concurrency: number;
}): number => settings.workers ?? settings.concurrency + EXTRA_WORKERS;

export interface LookAhead {
  /** All slots are taken, and jobs may wait. */
  look(): void;
  nothingWaits(): void;
  stop(): void;
}

export function createLookAhead({
  claims,
  prepare,
  maxProcesses,
  starter,
  logger,
}: {
  readonly claims: Pick<Claims, 'peek'>;
  readonly prepare: PrepareOptions;
  /** The most idle processes. */
  readonly maxProcesses: number;
  readonly starter: Pick<CliStarter, 'setQueued'>;
  readonly logger: Logger;
}): LookAhead {
  let timer: NodeJS.Timeout | null = null;
  let busy = false;
  let hasQueued = false;
  let stopped = false;

  async function lookNow(): Promise<void> {
    const waiting = await claims.peek(maxProcesses);
    const fresh = waiting.filter(({ request }) => request.sessionId === null);
    const prepared = await Promise.all(fresh.map((one) => prepareWaiting(one, prepare).catch(() => null)));
    if (stopped) return;
    hasQueued = waiting.length > 0;
    starter.setQueued(prepared.filter((one) => one !== null));
  }

  function lookOnce(): void {
    if (busy || stopped) return;
    busy = true;
    lookNow()
      .catch((error: unknown) => logger.debug({ reason: messageOf(error) }, 'looking ahead failed'))
      .finally(() => {
        busy = false;
      });
  }

  return {
    look() {
      if (maxProcesses === 0 || timer !== null) return;
      timer = setTimeout(() => {
        timer = null;
        lookOnce();
      }, EVERY_MS).unref();
    },
    nothingWaits() {
      if (!hasQueued) return;
      hasQueued = false;
      starter.setQueued([]);
    },
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
