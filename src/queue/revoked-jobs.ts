/**
 * Ends what a key has queued once it was revoked or has expired, also jobs that would wait for
 * long. One that this misses is refused when it starts.
 */
import type { Logger } from 'pino';
import { REVOKED } from '../auth/job-rights.ts';
import type { Keys } from '../auth/keys.ts';
import { wireError } from '../errors.ts';
import { jobOutcome } from '../protocol/outcome.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import type { Store } from '../store/store.ts';
import { createPeriodic, type Periodic } from '../timing.ts';

const EVERY_MS = 2000;
/** The jobs of a key are looked for until so long after its end: some were just being made. */
const LOOK_FOR_MS = 5 * 60_000;
/** Jobs of one script call. */
const SLICE = 100;

const OUTCOME = jobOutcome('failed', wireError('auth.revoked', REVOKED));

export function createRevokedJobs({
  keys,
  store,
  upkeep,
  everyMs = EVERY_MS,
  now = Date.now,
  logger,
}: {
  readonly keys: Pick<Keys, 'endedSince'>;
  readonly store: Pick<Store, 'run'>;
  readonly upkeep: Pick<Upkeep, 'revoke'>;
  readonly everyMs?: number;
  readonly now?: () => number;
  readonly logger: Logger;
}): { start(): Promise<void>; stop(): Promise<void> } {
  let periodic: Periodic | null = null;
  let look: Promise<void> = Promise.resolve();
  /** The first look is for all keys: some may have ended while no server ran. */
  let since = 0;

  async function endAll(): Promise<void> {
    const next = now() - LOOK_FOR_MS;
    const ended = keys.endedSince(since);
    let jobs = 0;
    for (let after = ''; ended.length > 0; ) {
      const ids = await store.run('jobs.waitingOfKeys', { keys: ended, after, limit: SLICE });
      const last = ids.at(-1);
      if (last === undefined) break;
      jobs += (await upkeep.revoke(ids, OUTCOME)).length;
      after = last;
    }
    since = next;
    if (jobs > 0) logger.info({ jobs }, 'ended the waiting jobs of keys that were revoked or have expired');
  }

  return {
    async start() {
      periodic = createPeriodic(logger);
      periodic.every(everyMs, 'ending the jobs of revoked keys', () => {
        look = endAll();
        return look;
      });
    },
    async stop() {
      periodic?.stop();
      await look.catch(() => undefined); // reported by the periodic task
    },
  };
}
