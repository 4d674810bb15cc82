/**
 * `npm run storm`: two servers, and clients of chats and terminals whose connections break at
 * random, over WebSocket and Socket.IO, while one of the servers restarts. Then checks that each
 * client got every event once and in order, and that each command acted once.
 *
 *   --minutes N    how long (default 10)
 *   --seed N       of the chances (default: chosen from the clock)
 *
 * Exits with 1 when a promise of docs/live.md was broken; the data folder is then kept.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { storm } from './live-storm/run.ts';
import { killAllServers } from './nemesis/server.ts';

const SHOWN = 20;
const MAX_MINUTES = 60;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const [minutes, seed] = [values.minutes, values.seed].map(Number);
if (!minutes || minutes < 0 || minutes > MAX_MINUTES || !Number.isInteger(seed))
  throw new Error(`--minutes takes a number up to ${MAX_MINUTES}, --seed a whole number`);

const dir = realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-storm-')));
const begun = performance.now();
const log = (line: string): void =>
  console.error(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${line}`);
log(`seed ${seed}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    killAllServers();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
    process.exit(130);
  });
}
let failed = true;
try {
  const { faults, figures } = await storm({ seed: seed ?? 0, durationMs: minutes * 60_000, dir, log });
  failed = faults.length > 0;
  console.log(`| seed ${seed} | |\n|---|---|`);
  for (const [name, value] of Object.entries(figures)) console.log(`| ${name} | ${value} |`);
  for (const fault of faults.slice(0, SHOWN)) console.log(fault);
} finally {
  if (failed) console.log(`Data and logs are in ${dir}`);
  else rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}
process.exitCode = failed ? 1 : 0;
