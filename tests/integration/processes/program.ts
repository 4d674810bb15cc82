/**
 * A stand-in for the server, for tests that kill it or take its resources away. Arguments: what to do, the
 * marker, and for `parent` how the child is launched: `launcher` or `here`.
 */
import { mkdtempSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { pino } from 'pino';
import { toWire } from '../../../src/errors.ts';
import { launchHere } from '../../../src/processes/launch.ts';
import { createLauncher } from '../../../src/processes/launcher.ts';
import { spawnProcess } from '../../../src/processes/spawn.ts';

const [mode, marker = '', way] = process.argv.slice(2);
const launcher =
  way === 'launcher'
    ? createLauncher({ dir: mkdtempSync(`${tmpdir()}/bullpen-test-`), logger: pino({ enabled: false }) })
    : null;
await launcher?.start();

if (mode === 'exhaust-files') {
  // What spawning needs is loaded by a first one, as in a server that has been running.
  await (await start('exit 0')).ended;
  try {
    for (;;) openSync('/dev/null', 'r');
  } catch {
    // As many as the limit allows are open now.
  }
}

try {
  const child = await start(way === 'launcher' ? 'setsid sleep 1000 & exec sleep 1000' : 'exec sleep 1000');
  process.stdout.write(`${child.pid}\n`);
} catch (error) {
  process.stdout.write(`${toWire(error).code}\n`);
}

async function start(script: string) {
  const request = { binary: '/bin/sh', args: ['-c', script], env: {}, cwd: '/', stdin: '', marker };
  const child = await spawnProcess(request, launcher?.launch ?? launchHere);
  child.onLine(() => {});
  return child;
}
