/** Builds what a server reports about itself: health, metrics, providers. */
import type { Redis } from 'ioredis';
import { actorOf } from '../auth/principal.ts';
import type { DamageReports } from '../damage.ts';
import type { CliProbe, StateFolders } from '../executor/cli-probe.ts';
import type { Executor } from '../executor/executor.ts';
import type { Health } from '../http/ports.ts';
import type { ReadClosedGates } from '../jobs/job-document.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { Launcher } from '../processes/launcher.ts';
import type { Providers } from '../providers/registry.ts';
import type { WorkerPool } from '../queue/worker-pool.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import type { Redactor } from '../redactor.ts';
import type { Store } from '../store/store.ts';
import { createHealth } from './health.ts';
import type { Measure } from './measures.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createProviderReports } from './provider-reports.ts';

export interface OpenStatusOptions {
  readonly redis: Redis;
  /** Why the private Redis does not answer; null: it does, or Redis is another one. */
  redisProblem(): string | null;
  readonly upkeep: Upkeep;
  readonly store: Store;
  readonly executor: Executor;
  readonly launcher: Launcher;
  readonly workers: WorkerPool;
  readonly damage: DamageReports;
  readonly redactor: Redactor;
  readonly credentials: Credentials;
  readonly measures: readonly Measure[];
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  readonly closedGates: ReadClosedGates;
}

export interface Status {
  readonly health: Health;
  readonly metrics: Metrics;
}

export function openStatus(options: OpenStatusOptions): Status {
  const { redis, redisProblem, upkeep, store, executor, launcher, workers, damage, redactor } = options;
  const { credentials, measures, providers, probe, stateFolders, environment, closedGates } = options;
  const metrics = createMetrics({
    jobs: async () => store.run('jobs.counts', { gates: await closedGates() }),
    queue: () => upkeep.counts(),
    sessions: () => store.run('sessions.counts', {}),
    credentials: credentials.reports,
    ...{ measures, damage, executor },
  });
  const health = createHealth({
    ...{ redis, redisProblem, upkeep, store, executor, launcher, workers, metrics, damage, redactor },
    providers: createProviderReports({ providers, probe, stateFolders, credentials, environment, executor }),
    resumeProvider: (principal, name) => credentials.open(name, actorOf(principal)),
  });
  return { health, metrics };
}
