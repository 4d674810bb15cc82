import type { Redis } from 'ioredis';
import type { DamageReports } from '../damage.ts';
import { messageOf } from '../errors.ts';
import type { Executor } from '../executor/ports.ts';
import type { Health } from '../http/ports.ts';
import type { Launcher } from '../processes/launcher.ts';
import type { WorkerPool } from '../queue/worker-pool.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import type { Redactor } from '../redactor.ts';
import { whyDown } from '../redis/connection.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';

export interface HealthOptions {
  readonly redis: Redis;
  /** Why the private Redis does not run; null: it runs. */
  redisProblem(): string | null;
  readonly upkeep: Pick<Upkeep, 'counts'>;
  readonly store: Store;
  readonly executor: Pick<Executor, 'status' | 'problem'>;
  readonly launcher: Pick<Launcher, 'problem'>;
  /** Of terminals: jobs do not need it. */
  readonly terminalLauncher: Pick<Launcher, 'problem'>;
  readonly workers: Pick<WorkerPool, 'problem'>;
  /** The executor on another host; null: CLIs run here. */
  readonly remote: RemoteState | null;
  readonly metrics: Metrics;
  readonly damage: Pick<DamageReports, 'counts' | 'latest'>;
  readonly providers: Health['providers'];
  readonly resumeProvider: Health['resumeProvider'];
  readonly redactor: Redactor;
}

/** How an executor on another host is reached. */
export interface RemoteState {
  /** Why nothing is sent to it; null: it is used. */
  problem(): string | null;
}

interface Check {
  readonly ok: boolean;
  readonly detail: string | null;
}

const without = (problem: string | null): Check => ({ ok: problem === null, detail: problem });

/** Answers /ready, /claude-cli/health, /metrics and /v1/providers. */
export function createHealth(options: HealthOptions): Health {
  const { redis, upkeep, store, executor, remote, redactor } = options;

  async function checkRedis(): Promise<Check> {
    // Redis answers INFO before a connection can take other commands, and while it loads its data.
    const down = options.redisProblem() ?? whyDown(redis);
    if (down !== null) return { ok: false, detail: down };
    try {
      const persistence = await redis.info('persistence');
      const memory = await redis.info('memory');
      await upkeep.counts(); // finds a key of a wrong type and a missing right
      const notes: string[] = [];
      if (!persistence.includes('aof_enabled:1'))
        notes.push('AOF is off: an acknowledged job may be lost with Redis');
      if (!memory.includes('maxmemory_policy:noeviction'))
        notes.push('maxmemory-policy is not noeviction: Redis may evict jobs');
      return { ok: true, detail: notes.length === 0 ? null : notes.join('; ') };
    } catch (error) {
      return { ok: false, detail: messageOf(error) };
    }
  }

  async function checkStore(): Promise<Check> {
    try {
      await store.run('cursors.get', { name: 'log' });
      return { ok: true, detail: null };
    } catch (error) {
      return { ok: false, detail: messageOf(error) };
    }
  }

  /** Damaged records since the start. They make the server degraded, but stop nothing else. */
  function unreadable(): string | null {
    const count = Object.values(options.damage.counts()).reduce((sum, one) => sum + one, 0);
    if (count === 0) return null;
    return `${count} stored records could not be read since the start; the last: ${options.damage.latest()}`;
  }

  /** While the executor is away, a server with a fallback is ready, and says so. */
  function checkExecutor(): Check {
    const check = without(executor.status().accepting ? executor.problem() : 'takes no work now');
    return { ok: check.ok, detail: check.detail ?? remote?.problem() ?? null };
  }

  return {
    async readiness() {
      const [redisCheck, storeCheck] = await Promise.all([checkRedis(), checkStore()]);
      const needed = {
        redis: redisCheck,
        store: storeCheck,
        executor: checkExecutor(),
        launcher: without(options.launcher.problem()),
        workers: without(options.workers.problem()),
      };
      const ready = Object.values(needed).every(({ ok }) => ok);
      const stored = without(unreadable());
      const terminals = without(options.terminalLauncher.problem()); // null before the first terminal
      const checks = redactor.value({ ...needed, stored, terminals });
      return { ready, degraded: ready && !(stored.ok && terminals.ok), checks };
    },
    async executor() {
      const { running, limit, accepting } = executor.status();
      const pending = await upkeep.counts().then(
        (counts) => counts.pending,
        () => null, // Redis is away
      );
      const isReached = remote === null || executor.problem() === null;
      return {
        healthy: accepting && pending !== null && isReached,
        mode: remote === null ? 'main-process' : 'http',
        pendingRequests: pending ?? 0,
        ...{ running, limit },
      };
    },
    metrics: () => options.metrics.render(),
    providers: async () => redactor.value(await options.providers()),
    resumeProvider: options.resumeProvider,
  };
}
