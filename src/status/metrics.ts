/** Prometheus text. Figures are read when asked for; the few counters count where things happen. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { DamageReports } from '../damage.ts';
import type { Executor } from '../executor/executor.ts';

export interface MetricsSource {
  jobsByStatus(): Promise<Readonly<Record<string, number>>>;
  queue(): Promise<{ readonly pending: number; readonly nodes: number }>;
  readonly damage: Pick<DamageReports, 'counts'>;
  readonly executor: Pick<Executor, 'status' | 'starts'>;
}

export interface Metrics {
  render(): Promise<string>;
  stop(): void;
}

/** Each sample wakes the process: at every 10 ms that was more than half of what an idle server costs. */
const SAMPLED_EVERY_MS = 50;

type Sample = readonly [labels: string, value: number];

const line = (name: string, [labels, value]: Sample): string => `${name}${labels} ${value}`;

function metric(name: string, kind: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  return [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${kind}`,
    ...samples.map((sample) => line(name, sample)),
  ].join('\n');
}

export function createMetrics(source: MetricsSource): Metrics {
  const delay = monitorEventLoopDelay({ resolution: SAMPLED_EVERY_MS });
  delay.enable();
  /**
   * How late the loop was since the last scrape. The histogram holds the time from one sample to the next, so a loop
   * that is never late has the pause between them.
   */
  function loopLag(): Sample[] {
    const lateSeconds = (percentile: number): number =>
      Math.max(0, delay.percentile(percentile) / 1e9 - SAMPLED_EVERY_MS / 1000);
    const samples: Sample[] = [
      ['{quantile="0.5"}', lateSeconds(50)],
      ['{quantile="0.99"}', lateSeconds(99)],
    ];
    delay.reset();
    return samples;
  }

  function processFigures(): string[] {
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    return [
      metric('process_resident_memory_bytes', 'gauge', 'Resident memory of the main process.', [['', rss]]),
      metric('nodejs_heap_used_bytes', 'gauge', 'Heap in use.', [['', heapUsed]]),
      metric('process_cpu_seconds_total', 'counter', 'CPU time of the main process.', [
        ['', (user + system) / 1e6],
      ]),
      metric('process_uptime_seconds', 'gauge', 'Time since the start.', [['', process.uptime()]]),
      metric('nodejs_eventloop_lag_seconds', 'gauge', 'Event-loop delay since the last scrape.', loopLag()),
    ];
  }

  return {
    async render() {
      const [jobs, queue] = await Promise.all([source.jobsByStatus(), source.queue()]);
      const { running, limit } = source.executor.status();
      const { started, waiting, sessions } = source.executor.starts();
      const byStart = Object.entries(started).map(([start, count]): Sample => [`{start="${start}"}`, count]);
      const byStatus = Object.entries(jobs).map(([status, count]): Sample => [`{status="${status}"}`, count]);
      return `${[
        ...processFigures(),
        metric('bullpen_jobs', 'gauge', 'Jobs known to this server, by state.', byStatus),
        metric('bullpen_executions_running', 'gauge', 'Executions running on this server.', [['', running]]),
        metric('bullpen_executions_limit', 'gauge', 'Executions this server may run at once.', [['', limit]]),
        metric('bullpen_execution_starts_total', 'counter', 'Executions by how they got a process.', byStart),
        metric(
          'bullpen_waiting_processes',
          'gauge',
          'CLI processes that run nothing and wait for a prompt.',
          [
            ['{kind="warm"}', waiting],
            ['{kind="session"}', sessions],
          ],
        ),
        metric('bullpen_requests_pending', 'gauge', 'Submitted requests no executor has claimed.', [
          ['', queue.pending],
        ]),
        metric(
          'bullpen_damaged_total',
          'counter',
          'What is stored and could not be read, by kind.',
          Object.entries(source.damage.counts()).map(([kind, count]): Sample => [`{kind="${kind}"}`, count]),
        ),
        metric('bullpen_nodes', 'gauge', 'Servers registered on this Redis.', [['', queue.nodes]]),
      ].join('\n')}\n`;
    },
    stop() {
      delay.disable();
    },
  };
}
