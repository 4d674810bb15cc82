/**
 * A small server for tests that kill it or exhaust its resources. Arguments: what to do, and the
 * marker of the process it starts.
 */
import { mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { pino } from 'pino';
import { toWire } from '../../../src/errors.ts';
import { createLauncher } from '../../../src/processes/launcher.ts';
import { spawnProcess } from '../../../src/processes/spawn.ts';

const [mode, marker = ''] = process.argv.slice(2);
const dir = mkdtempSync(`${tmpdir()}/bullpen-test-`);
const launcher = createLauncher({ dir, logger: pino({ enabled: false }) });
await launcher.start();

if (mode === 'exhaust-files') {
  // A first process loads everything that a start needs, as in a server that has been running.
  await (await start('exit 0')).ended;
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // All descriptors are open now.
  }
}

try {
  const child = await start('setsid sleep 1000 & exec sleep 1000');
  process.stdout.write(`${child.pid}\n`);
} catch (error) {
  process.stdout.write(`${toWire(error).code}\n`);
  await launcher.stop();
}

async function start(script: string) {
  const bytes = 1024 * 1024;
  const limits = { maxLineBytes: bytes, maxTextBytes: bytes };
  const request = {
    ...limits,
    stdin: '',
    holdStdin: false,
    binary: '/bin/sh',
    args: ['-c', script],
    env: {},
    cwd: '/',
    marker,
  };
  const pty = mode === 'terminal' ? { pty: { cols: 80, rows: 24 } } : {};
  const child = await spawnProcess(request, (plain, stop) => launcher.launch({ ...plain, ...pty }, stop));
  child.onLine(() => {});
  return child;
}
