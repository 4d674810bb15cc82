#!/usr/bin/env node
// Plain JavaScript without imports, so that an old Node can still say what is wrong.
const major = Number(process.versions.node.split('.')[0]);
if (major < 24) {
  process.stderr.write(`bullpen needs Node 24 or newer; this is Node ${process.versions.node}\n`);
  process.exit(1);
}
const { main } = await import('./main.ts');
process.exitCode = await main(process.argv.slice(2));
