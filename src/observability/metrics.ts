/** Prometheus text. Figures are read when asked for; the few counters count where things happen. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface MetricsSource {
  jobsByStatus(): Promise<Readonly<Record<string, number>>>;
  queue(): Promise<{ readonly pending: number; readonly nodes: number }>;
  executor(): { readonly running: number; readonly limit: number };
}

export interface Metrics {
  render(): Promise<string>;
  stop(): void;
}

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
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();

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
      metric('nodejs_eventloop_lag_seconds', 'gauge', 'Event-loop delay.', [
        ['{quantile="0.5"}', delay.percentile(50) / 1e9],
        ['{quantile="0.99"}', delay.percentile(99) / 1e9],
      ]),
    ];
  }

  return {
    async render() {
      const [jobs, queue] = await Promise.all([source.jobsByStatus(), source.queue()]);
      const { running, limit } = source.executor();
      const byStatus = Object.entries(jobs).map(([status, count]): Sample => [`{status="${status}"}`, count]);
      return `${[
        ...processFigures(),
        metric('bullpen_jobs', 'gauge', 'Jobs known to this server, by state.', byStatus),
        metric('bullpen_executions_running', 'gauge', 'Executions running on this server.', [['', running]]),
        metric('bullpen_executions_limit', 'gauge', 'Executions this server may run at once.', [['', limit]]),
        metric('bullpen_requests_pending', 'gauge', 'Submitted requests no executor has claimed.', [
          ['', queue.pending],
        ]),
        metric('bullpen_nodes', 'gauge', 'Servers registered on this Redis.', [['', queue.nodes]]),
      ].join('\n')}\n`;
    },
    stop() {
      delay.disable();
    },
  };
}
