/**
 * `node scripts/bench/publish.ts RESULT.json`: draws docs/benchmark.svg and writes the tables of docs/performance.md from
 * what a run of `npm run bench` found.
 *
 *   --chart PATH     only the chart, there
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { messageOf } from '../../src/errors.ts';
import { renderChart } from './chart.ts';
import { withResults } from './markdown.ts';
import { readResults } from './results.ts';

const docs = (name: string): string => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

function main(): void {
  const { values, positionals } = parseArgs({
    options: { chart: { type: 'string' } },
    allowPositionals: true,
  });
  const [file] = positionals;
  if (file === undefined) throw new Error('which JSON? node scripts/bench/publish.ts RESULT.json');
  const results = readResults(file);
  const chart = values.chart ?? docs('benchmark.svg');
  writeFileSync(chart, renderChart(results));
  console.log(`drawn to ${chart}`);
  if (values.chart !== undefined) return;
  const page = docs('performance.md');
  writeFileSync(page, withResults(readFileSync(page, 'utf8'), results));
  console.log(`tables written to ${page}`);
}

try {
  main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}
