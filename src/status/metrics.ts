import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { DamageReports } from '../damage.ts';
import type { Executor } from '../executor/ports.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { CliProcess } from '../protocol/server-info.ts';
import type { JobCounts } from '../store/list-jobs.ts';
import { addProcessFigures, type FigureRegistry, openFigures } from './figures.ts';
import type { Measure } from './measures.ts';

export interface MetricsSource {
  jobs(): Promise<JobCounts>;
  queue(): Promise<{ readonly pending: number; readonly approvals: number; readonly nodes: number }>;
  /** Sessions with a record that are not closed, by status. */
  sessions(): Promise<Readonly<Record<string, number>>>;
  readonly damage: Pick<DamageReports, 'counts'>;
  readonly executor: Pick<Executor, 'status' | 'starts'>;
  /** The terminals that run on this server. */
  terminals(): readonly Pick<CliProcess, 'provider'>[];
  readonly credentials: Credentials['reports'];
  readonly measures: readonly Measure[];
}

export interface Metrics {
  /** Prometheus text. */
  render(): Promise<string>;
  stop(): void;
}

/**
 * Each sample wakes the process. At every 10 ms that was more than half of the CPU of an idle
 * server.
 */
const SAMPLED_EVERY_MS = 50;

type LoopDelay = ReturnType<typeof monitorEventLoopDelay>;

export function createMetrics(source: MetricsSource): Metrics {
  const delay = monitorEventLoopDelay({ resolution: SAMPLED_EVERY_MS });
  delay.enable();
  let registry: Promise<FigureRegistry> | null = null;
  return {
    async render() {
      // The first scrape loads prom-client.
      registry ??= createRegistry(source, delay);
      return (await registry).render();
    },
    stop() {
      delay.disable();
    },
  };
}

async function createRegistry(source: MetricsSource, delay: LoopDelay): Promise<FigureRegistry> {
  const registry = await openFigures();
  const { add } = registry;
  addProcessFigures(registry);
  add('gauge', ['nodejs_eventloop_lag_seconds', 'quantile'], 'Event-loop delay since the last scrape.', () =>
    lagSince(delay),
  );

  const { executor, damage } = source;
  /** Three metrics of one scrape share one read. */
  let reading: Promise<JobCounts> | null = null;
  const readJobs = (): Promise<JobCounts> => {
    reading ??= source.jobs().finally(() => {
      reading = null;
    });
    return reading;
  };
  add(
    'gauge',
    ['bullpen_jobs', 'status'],
    'Jobs known to this server, by status.',
    async () => (await readJobs()).byStatus,
  );
  add(
    'gauge',
    ['bullpen_open_jobs', 'status', 'provider'],
    'Jobs that have not ended, by status and provider.',
    async () => (await readJobs()).open.map(({ status, provider, count }) => [{ status, provider }, count]),
  );
  add('gauge', ['bullpen_oldest_queued_seconds'], 'How long the oldest queued job has waited.', async () =>
    ageOfOldest((await readJobs()).open.filter(({ status }) => status === 'queued')),
  );
  add('gauge', ['bullpen_credentials', 'provider', 'status'], 'Credentials by their status.', async () =>
    [...(await source.credentials())].flatMap(([provider, found]) =>
      Object.entries(Object.groupBy(found, ({ status }) => status)).map(
        ([status, ofStatus]) => [{ provider, status }, ofStatus.length] as const,
      ),
    ),
  );
  add(
    'gauge',
    ['bullpen_executions_running'],
    'Executions running on this server.',
    () => executor.status().running,
  );
  add(
    'gauge',
    ['bullpen_executions_limit'],
    'Executions this server may run at once.',
    () => executor.status().limit,
  );
  add(
    'counter',
    ['bullpen_execution_starts_total', 'start'],
    'Executions by the start of their process.',
    () => executor.starts().started,
  );
  add('gauge', ['bullpen_waiting_processes', 'kind'], 'Idle CLI processes that wait for a prompt.', () => {
    const { waiting, sessions } = executor.starts();
    return { warm: waiting, session: sessions };
  });
  add('gauge', ['bullpen_terminals', 'provider'], 'Terminals that run on this server.', () =>
    Object.entries(Object.groupBy(source.terminals(), ({ provider }) => provider)).map(
      ([provider, its = []]) => [{ provider }, its.length] as const,
    ),
  );
  add(
    'gauge',
    ['bullpen_requests_pending'],
    'Submitted requests that no executor has claimed.',
    async () => (await source.queue()).pending,
  );
  add('gauge', ['bullpen_sessions', 'status'], 'Sessions that are not closed, by status.', source.sessions);
  add(
    'gauge',
    ['bullpen_approvals_pending'],
    'Approvals that wait for a person.',
    async () => (await source.queue()).approvals,
  );
  add(
    'counter',
    ['bullpen_damaged_total', 'kind'],
    'Stored records that could not be read, by kind.',
    damage.counts,
  );
  add(
    'gauge',
    ['bullpen_nodes'],
    'Servers registered on this Redis.',
    async () => (await source.queue()).nodes,
  );
  for (const measure of source.measures) registry.addMeasure(measure);
  return registry;
}

/** Seconds since the earliest of these; 0: there are none. */
function ageOfOldest(open: JobCounts['open']): number {
  const oldest = Math.min(...open.map(({ since }) => Date.parse(since)));
  return Number.isFinite(oldest) ? Math.max(0, Date.now() - oldest) / 1000 : 0;
}

/**
 * Quantiles of how late the event loop was since the last scrape, in seconds. The histogram holds
 * the time between two samples, which is the interval for a loop that is never late.
 */
function lagSince(delay: LoopDelay): Record<string, number> {
  const late = (percentile: number): number =>
    Math.max(0, delay.percentile(percentile) / 1e9 - SAMPLED_EVERY_MS / 1000);
  const lag = { '0.5': late(50), '0.99': late(99) };
  delay.reset();
  return lag;
}
