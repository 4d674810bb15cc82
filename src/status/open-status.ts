/** Builds what a server reports about itself: health, metrics, providers. */
import type { Redis } from 'ioredis';
import { actorOf } from '../auth/principal.ts';
import type { DamageReports } from '../damage.ts';
import type { Executor } from '../executor/ports.ts';
import type { Health } from '../http/ports.ts';
import type { ReadClosedGates } from '../jobs/job-document.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { Launcher } from '../processes/launcher.ts';
import type { Providers } from '../providers/registry.ts';
import type { WorkerPool } from '../queue/worker-pool.ts';
import type { Upkeep } from '../records/upkeep-ports.ts';
import type { Redactor } from '../redactor.ts';
import type { Store } from '../store/store.ts';
import type { TerminalHost } from '../terminals/ports.ts';
import type { ReportCli } from './cli-reports.ts';
import { createHealth, type RemoteState } from './health.ts';
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
  /** Of terminals. */
  readonly terminalLauncher: Pick<Launcher, 'problem'>;
  readonly terminalHost: Pick<TerminalHost, 'processes'>;
  readonly workers: WorkerPool;
  /** The executor on another host; null: CLIs run here. */
  readonly remote: RemoteState | null;
  readonly damage: DamageReports;
  readonly redactor: Redactor;
  readonly credentials: Credentials;
  readonly measures: readonly Measure[];
  readonly providers: Providers;
  /** Asks the host that runs the CLIs. */
  clis(): Promise<ReportCli>;
  readonly closedGates: ReadClosedGates;
}

export interface Status {
  readonly health: Health;
  readonly metrics: Metrics;
}

export function openStatus(options: OpenStatusOptions): Status {
  const { redis, redisProblem, upkeep, store, executor, launcher, workers, damage, redactor } = options;
  const { credentials, measures, providers, clis, closedGates } = options;
  const { terminalLauncher, terminalHost, remote } = options;
  const metrics = createMetrics({
    jobs: async () => store.run('jobs.counts', { gates: await closedGates() }),
    queue: () => upkeep.counts(),
    sessions: () => store.run('sessions.counts', {}),
    terminals: terminalHost.processes,
    credentials: credentials.reports,
    ...{ measures, damage, executor },
  });
  const health = createHealth({
    ...{ redis, redisProblem, upkeep, store, executor, launcher, terminalLauncher, workers },
    ...{ metrics, damage, redactor, remote },
    providers: createProviderReports({ providers, clis, credentials, executor }),
    resumeProvider: (principal, name) => credentials.open(name, actorOf(principal)),
  });
  return { health, metrics };
}
