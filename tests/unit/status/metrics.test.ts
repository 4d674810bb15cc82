import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, it, onTestFinished, vi } from 'vitest';
import { createMetrics } from '../../../src/status/metrics.ts';

const metrics = () =>
  createMetrics({
    jobsByStatus: async () => ({ queued: 3, failed: 1 }),
    queue: async () => ({ pending: 2, nodes: 1 }),
    damage: { counts: () => ({ job: 0, batch: 0, event: 4, log: 0, row: 0, key: 0 }) },
    executor: {
      status: () => ({ running: 4, limit: 5, accepting: true }),
      starts: () => ({ started: { cold: 7, warm: 8, session: 9 }, waiting: 1, sessions: 6 }),
    },
  });

const lagOf = (text: string): number =>
  Number(/^nodejs_eventloop_lag_seconds\{quantile="0.99"\} (\S+)$/m.exec(text)?.[1]);

it('a late event loop is reported by the next scrape and by no later one', async () => {
  const { render, stop } = metrics();
  await pause(60); // the first sample
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
  await pause(60);
  const late = lagOf(await render());
  expect(late).toBeGreaterThan(0.2);
  expect(lagOf(await render())).toBeLessThan(late);
  stop();
});

it('answers without a free file descriptor, with the memory of the last scrape', async () => {
  const { render, stop } = metrics();
  onTestFinished(stop);
  const memoryOf = (text: string) => /^process_resident_memory_bytes (\d+)$/m.exec(text)?.[1];
  const known = memoryOf(await render());
  expect(Number(known)).toBeGreaterThan(1e6);
  const refused = () => {
    throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
  };
  const usage = vi.spyOn(process, 'memoryUsage').mockImplementation(refused);
  onTestFinished(() => usage.mockRestore());
  Object.assign(process.memoryUsage, { rss: refused });
  expect(memoryOf(await render())).toBe(known);
});

it('has every figure under its name and label, the same at each scrape', async () => {
  const { render, stop } = metrics();
  await render();
  const text = await render();
  stop();
  const lines = text.split('\n').filter((line) => line.startsWith('bullpen_'));
  expect(lines).toEqual([
    'bullpen_jobs{status="queued"} 3',
    'bullpen_jobs{status="failed"} 1',
    'bullpen_executions_running 4',
    'bullpen_executions_limit 5',
    'bullpen_execution_starts_total{start="cold"} 7',
    'bullpen_execution_starts_total{start="warm"} 8',
    'bullpen_execution_starts_total{start="session"} 9',
    'bullpen_waiting_processes{kind="warm"} 1',
    'bullpen_waiting_processes{kind="session"} 6',
    'bullpen_requests_pending 2',
    'bullpen_damaged_total{kind="job"} 0',
    'bullpen_damaged_total{kind="batch"} 0',
    'bullpen_damaged_total{kind="event"} 4',
    'bullpen_damaged_total{kind="log"} 0',
    'bullpen_damaged_total{kind="row"} 0',
    'bullpen_damaged_total{kind="key"} 0',
    'bullpen_nodes 1',
  ]);
});

it('has the metrics of docs/operations.md, each with its type and label', async () => {
  const { render, stop } = metrics();
  const text = await render();
  stop();
  const labelOf = (name: string) => new RegExp(`^${name}\\{(\\w+)=`, 'm').exec(text)?.[1] ?? '';
  const written = Array.from(text.matchAll(/^# TYPE (\S+) (\S+)$/gm), ([, name = '', type]) => [
    name,
    type,
    labelOf(name),
  ]);
  const operations = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  const rows = operations.matchAll(/^\| (`\w+`(?:, `\w+`)*) \| (gauge|counter)(?:, `(\w+)`)? \|/gm);
  const documented = Array.from(rows).flatMap(([, names = '', type, label = '']) =>
    names.split(', ').map((name) => [name.slice(1, -1), type, label]),
  );
  expect(written.toSorted()).toEqual(documented.toSorted());
  for (const [name] of written) expect(text).toMatch(new RegExp(`^${name}(\\{.*\\})? [0-9.e+-]+$`, 'm'));
});
