/**
 * A stand-in for the server, for tests that kill it or take its resources away. Arguments: what to do, the
 * marker, and for `parent` whether the child dies with it.
 */
import { openSync } from 'node:fs';
import { toWire } from '../../../../src/errors.ts';
import { spawnProcess } from '../../../../src/executor/process/spawn.ts';

const [mode, marker = '', dieWithParent] = process.argv.slice(2);

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
  const child = await start('exec sleep 1000');
  process.stdout.write(`${child.pid}\n`);
} catch (error) {
  process.stdout.write(`${toWire(error).code}\n`);
}

async function start(script: string) {
  const child = await spawnProcess({
    binary: '/bin/sh',
    args: ['-c', script],
    env: {},
    cwd: '/',
    stdin: '',
    marker,
    dieWithParent: dieWithParent === 'true',
  });
  child.onLine(() => {});
  return child;
}
