/**
 * Sees what is pending while all slots are taken, so that its process can boot while it waits. Hints alone: what is
 * wrong or late costs a cold start.
 */
import type { Logger } from 'pino';
import { messageOf } from '../../errors.ts';
import type { Claims } from '../../records/ports.ts';
import { type PrepareOptions, prepareRequest } from '../prepare.ts';
import type { CliStarter } from './cli-starter.ts';
import type { WarmSettings } from './warm-settings.ts';

/** Doorbells come in bursts. */
const EVERY_MS = 20;

export interface LookAheadOptions {
  readonly claims: Pick<Claims, 'peek'>;
  readonly prepare: PrepareOptions;
  readonly warm: WarmSettings;
  readonly starter: Pick<CliStarter, 'expect'>;
  readonly logger: Logger;
}

export interface LookAhead {
  /** All slots are taken, and something may wait. */
  look(): void;
  nothingWaits(): void;
  stop(): void;
}

export function createLookAhead(options: LookAheadOptions): LookAhead {
  const { claims, prepare, warm, starter, logger } = options;
  let timer: NodeJS.Timeout | null = null;
  let busy = false;
  let expecting = false;
  let stopped = false;

  async function lookNow(): Promise<void> {
    const requests = await claims.peek(warm.maxProcesses);
    const fresh = requests.filter(({ sessionId }) => sessionId === null);
    const prepared = await Promise.all(fresh.map((one) => prepareRequest(one, prepare).catch(() => null)));
    if (stopped) return;
    expecting = requests.length > 0;
    starter.expect(prepared.filter((one) => one !== null));
  }

  function ask(): void {
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
      if (warm.maxProcesses === 0 || timer !== null) return;
      timer = setTimeout(() => {
        timer = null;
        ask();
      }, EVERY_MS).unref();
    },
    nothingWaits() {
      if (!expecting) return;
      expecting = false;
      starter.expect([]);
    },
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
