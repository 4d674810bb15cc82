/** Metrics as text for Prometheus. Each is read at every scrape. */
import { getHeapStatistics } from 'node:v8';
import type { Metric } from 'prom-client';
import type { Labels, Measure } from './measures.ts';

/** One number, one for each value of the metric's label, or one for each set of labels. */
export type Figures = number | Readonly<Record<string, number>> | readonly (readonly [Labels, number])[];

export interface FigureRegistry {
  add(
    kind: 'gauge' | 'counter',
    name: readonly [name: string, ...labels: string[]],
    help: string,
    read: () => Figures | Promise<Figures>,
  ): void;
  addMeasure(measure: Measure): void;
  /** Prometheus text. */
  render(): Promise<string>;
}

/**
 * Loads prom-client, which takes 12 MB of memory. Its default metrics are not used: they sample the
 * event loop and watch every garbage collection.
 */
export async function openFigures(): Promise<FigureRegistry> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  return {
    add(kind, [name, ...labelNames], help, read) {
      const settings = {
        name,
        help,
        labelNames,
        registers: [registry],
        async collect(this: { reset(): void; inc(labels: Record<string, string>, value: number): void }) {
          const figures = await read();
          this.reset();
          if (typeof figures === 'number') return this.inc({}, figures);
          const [label = ''] = labelNames;
          const found = Array.isArray(figures)
            ? figures
            : Object.entries(figures).map(([value, figure]) => [{ [label]: value }, figure] as const);
          for (const [labels, figure] of found) this.inc(labels, figure);
        },
      };
      if (kind === 'gauge') new Gauge(settings);
      else new Counter(settings);
    },
    addMeasure({ name, help, kind, samples }) {
      const get = async () => ({
        ...{ name, help, type: kind, aggregator: 'sum' },
        values: samples().map(({ suffix, labels, value }) => ({ metricName: name + suffix, labels, value })),
      });
      // as: a registry reads `name` and calls `get`. prom-client's own histograms take no totals.
      registry.registerMetric({ name, help, get } as unknown as Metric);
    },
    render: () => registry.metrics(),
  };
}

/** Memory, CPU time and age of this process. */
export function addProcessFigures({ add }: Pick<FigureRegistry, 'add'>): void {
  let residentBytes = 0;
  add('gauge', ['process_resident_memory_bytes'], 'Resident memory of the main process.', () => {
    try {
      residentBytes = process.memoryUsage.rss();
    } catch {
      // It is read from a file, and there is no free descriptor: the last value is given.
    }
    return residentBytes;
  });
  add('gauge', ['nodejs_heap_used_bytes'], 'Heap in use.', () => getHeapStatistics().used_heap_size);
  add('counter', ['process_cpu_seconds_total'], 'CPU time of the main process.', () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
  add('gauge', ['process_uptime_seconds'], 'Time since the start.', () => process.uptime());
}
