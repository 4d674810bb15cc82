import { addProcessFigures, type FigureRegistry, openFigures } from '../../status/figures.ts';
import type { ExecutorCounts } from '../ports.ts';

/** The metrics of an executor on another host. */
export interface ExecutorMetrics {
  counts(): ExecutorCounts;
  /** Prometheus text. */
  render(): Promise<string>;
  /** A request was refused because of its signature. `code`: one of the table of error codes. */
  refused(code: string): void;
}

/** @param counts since the start, of the executions that came over HTTP */
export function createExecutorMetrics(counts: () => ExecutorCounts): ExecutorMetrics {
  const refusals = new Map<string, number>();
  let figures: Promise<FigureRegistry> | null = null;
  return {
    counts,
    async render() {
      // The first scrape loads prom-client.
      figures ??= createFigures(counts, () => Object.fromEntries(refusals));
      return (await figures).render();
    },
    refused(code) {
      refusals.set(code, (refusals.get(code) ?? 0) + 1);
    },
  };
}

async function createFigures(
  counts: () => ExecutorCounts,
  refusals: () => Readonly<Record<string, number>>,
): Promise<FigureRegistry> {
  const figures = await openFigures();
  addProcessFigures(figures);
  figures.add(
    'counter',
    ['bullpen_executor_requests_total', 'result'],
    'Executions by how they ended.',
    () => {
      const { successfulRequests, failedRequests } = counts();
      return { succeeded: successfulRequests, failed: failedRequests };
    },
  );
  figures.add(
    'gauge',
    ['bullpen_executor_active_requests'],
    'Executions that wait or run.',
    () => counts().activeRequests,
  );
  figures.add(
    'gauge',
    ['bullpen_executor_execution_seconds_average'],
    'How long an execution took, on average since the start.',
    () => counts().averageExecutionTime / 1000,
  );
  figures.add(
    'counter',
    ['bullpen_executor_refused_signatures_total', 'code'],
    'Requests that were refused because of their signature.',
    refusals,
  );
  return figures;
}
