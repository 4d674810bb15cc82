/**
 * npm's `prepare`: what a clone needs beside its source. Without devDependencies there is neither
 * a page nor a bundled TypeBox. JavaScript, because any Node may run it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { bundleTypebox, nameTypebox } from './typebox.js';

/** `npm pack` and `npm publish` have built all of it, in `prepack`. */
const isPacked = ['pack', 'publish'].includes(process.env['npm_command'] ?? '');

if (!isPacked && existsSync('node_modules/vite')) {
  await bundleTypebox();
  process.exitCode = spawnSync('npm', ['run', '--silent', 'page'], { stdio: 'inherit' }).status ?? 1;
} else if (!isPacked) {
  nameTypebox();
}
