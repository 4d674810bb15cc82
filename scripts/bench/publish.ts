/**
 * `node scripts/bench/publish.ts RESULT.json` writes docs/benchmark.svg and the tables of
 * docs/performance.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderChart } from './chart.ts';
import { withResults } from './report.ts';
import { readResults } from './results.ts';

const docs = (name: string): string => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url));

const [, , file] = process.argv;
if (file === undefined) {
  console.error('usage: node scripts/bench/publish.ts RESULT.json');
  process.exit(1);
}
const results = readResults(file);
writeFileSync(docs('benchmark.svg'), renderChart(results));
writeFileSync(docs('performance.md'), withResults(readFileSync(docs('performance.md'), 'utf8'), results));
console.log('written: docs/benchmark.svg, docs/performance.md');
