/** `npm run build`: the publishable package's JavaScript, from nothing, into dist/. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');
const BIN = join(DIST, 'src/bin.js');
/** What is found by its path at run time: a forked process and a thread, which no import names. */
const ENTRIES = [
  BIN,
  join(DIST, 'src/main.js'),
  join(DIST, 'workers/prompt.worker.js'),
  join(DIST, 'src/store/store-thread.js'),
];
const SHEBANG = '#!/usr/bin/env node\n';

function build(): string | null {
  rmSync(DIST, { recursive: true, force: true });
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  const { status, error } = spawnSync(tsc, ['-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) return `the compiler cannot be started: ${error.message}`;
  if (status !== 0) return 'the compiler refused the source';
  const missing = ENTRIES.filter((file) => !existsSync(file));
  if (missing.length > 0) return `the compiler left out ${missing.join(', ')}`;
  const bin = readFileSync(BIN, 'utf8');
  if (!bin.startsWith(SHEBANG) || bin.includes('.ts'))
    return `${BIN} is not what an installed command can be`;
  chmodSync(BIN, 0o755);
  return null;
}

const problem = build();
if (problem !== null) {
  console.error(`The build failed: ${problem}`);
  process.exitCode = 1;
}
