/**
 * `node scripts/bench/publish.ts RESULT.json` writes docs/benchmark.svg and the tables of
 * docs/performance.md and README.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { renderChart } from './chart.ts';
import { renderResults, renderSummary, withContent } from './report.ts';
import { readResults } from './results.ts';

const place = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const fill = (name: string, content: string): void =>
  writeFileSync(place(name), withContent(readFileSync(place(name), 'utf8'), content));

const [, , file] = process.argv;
if (file === undefined) {
  console.error('usage: node scripts/bench/publish.ts RESULT.json');
  process.exit(1);
}
const results = readResults(file);
writeFileSync(place('docs/benchmark.svg'), renderChart(results));
fill('docs/performance.md', renderResults(results));
fill('README.md', renderSummary(results));
console.log('written: docs/benchmark.svg, docs/performance.md, README.md');
