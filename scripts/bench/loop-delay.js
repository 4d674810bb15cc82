/**
 * Preloaded into a server (`node --import`): measures how late its event loop is. SIGUSR2 writes what was
 * measured since the last one, in milliseconds, to the file BENCH_LOOP_FILE names.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

const file = process.env['BENCH_LOOP_FILE'];
if (isMainThread && file !== undefined) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  process.on('SIGUSR2', () => {
    const measured = {
      p50: delay.percentile(50) / 1e6,
      p99: delay.percentile(99) / 1e6,
      max: delay.max / 1e6,
    };
    delay.reset();
    writeFileSync(`${file}.new`, JSON.stringify(measured));
    renameSync(`${file}.new`, file); // whoever waits for the file finds it whole
  });
}
