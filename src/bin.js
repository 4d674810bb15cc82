#!/usr/bin/env node
// Plain JavaScript that loads nothing of ours at first, so that an old Node can still say what is
// wrong.
import { existsSync } from 'node:fs';
import module from 'node:module'; // by name, old versions would refuse to load this file
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import v8 from 'node:v8';

const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(`bullpen needs Node 24 or newer; this is Node ${process.versions.node}\n`);
  process.exit(1);
}

try {
  process.cwd();
} catch {
  process.stderr.write('bullpen: the current folder no longer exists: cd to another one\n');
  process.exit(1);
}

const { BULLPEN_CACHE, XDG_CACHE_HOME = '' } = process.env;
// A relative XDG folder counts as none: what lies in the folder a command is typed in is not to be
// run.
const base = isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), '.cache');
const cache = BULLPEN_CACHE || join(base, 'bullpen');
// Compiled sources over starts: less time, and the type stripper need not be loaded again.
module.enableCompileCache(join(cache, 'compile'));
// Keeps V8's young generation at its first size. It would grow to 130 MB and never shrink: a server
// that has taken 500 jobs rests at 215 MB instead of 335 MB. V8 takes no maximum for it once the
// process runs.
v8.setFlagsFromString('--semi-space-growth-factor=1');
// Collects the old generation when half of its size is garbage, in place of V8's three times.
v8.setFlagsFromString('--heap-growing-percent=50');
// A clone runs its TypeScript; the published package has only what was built from it.
const built = new URL('../dist/src/main.js', import.meta.url).href;
const inClone = existsSync(new URL('./main.ts', import.meta.url));
if (inClone && !existsSync(new URL('../dist/typebox/typebox.js', import.meta.url))) {
  process.stderr.write('bullpen: this clone is not prepared: run npm ci, or npm run prepare\n');
  process.exit(1);
}
const { main } = await (inClone ? import('./main.ts') : import(built));
process.exitCode = await main(process.argv.slice(2));
// All is done and said. A connection that nothing answers, as to a Redis that hangs, may not keep a
// stopped server alive.
setTimeout(() => process.exit(), 5000).unref();
