/**
 * `npm run nemesis`: real servers, jobs from clients, and random faults; then checks that every
 * promise of docs/reliability.md was kept.
 *
 *   --minutes N    how long faults come (default 6)
 *   --seed N       the plan is made from it alone (default: chosen from the clock)
 *   --servers N    servers on one Redis (default 1)
 *   --plan         prints the plan and ends
 *   --report FILE  writes the figures there, as Markdown
 *
 * Exits with 1 when a promise was broken; the data folder and the logs are then kept.
 */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makePlan, renderPlan } from './nemesis/plan.ts';
import { renderFigures, renderViolations } from './nemesis/report.ts';
import { run } from './nemesis/run.ts';
import { killAllServers } from './nemesis/server.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '6' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    servers: { type: 'string', default: '1' },
    plan: { type: 'boolean', default: false },
    report: { type: 'string' },
  },
});
const [minutes, seed, servers] = [values.minutes, values.seed, values.servers].map(Number);
if (!minutes || minutes < 0 || !Number.isInteger(seed) || !(servers === 1 || servers === 2))
  throw new Error('--minutes takes a number, --seed a whole number, --servers 1 or 2');
const plan = { seed: seed ?? 0, servers, durationMs: minutes * 60_000 };
const again = `npm run nemesis -- --minutes ${minutes} --seed ${seed} --servers ${servers}`;

if (values.plan) console.log(renderPlan(makePlan(plan)));
else {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-nemesis-')));
  const begun = performance.now();
  const log = (line: string): void =>
    console.error(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  log(`seed ${seed}; the same again: ${again}`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killAllServers();
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
      process.exit(130);
    });
  }
  let failed = true;
  try {
    const result = await run({ ...plan, dir, log });
    failed = result.violations.length > 0;
    const figures = renderFigures(result);
    console.log(figures);
    if (values.report !== undefined) writeFileSync(values.report, `${figures}\n`);
    if (failed) console.log(`\n${renderViolations(result, dir)}`);
  } finally {
    if (failed) console.log(`The same again: ${again}\nData and logs are in ${dir}`);
    else rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  }
  process.exitCode = failed ? 1 : 0;
}
