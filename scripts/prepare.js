/**
 * npm's `prepare`: builds the page in a clone. Without devDependencies there is no Vite, and then
 * no page. JavaScript, because any Node may run it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** `npm pack` and `npm publish` have built it, in `prepack`. */
const isPacked = ['pack', 'publish'].includes(process.env['npm_command'] ?? '');

if (!isPacked && existsSync('node_modules/vite'))
  process.exitCode = spawnSync('npm', ['run', '--silent', 'page'], { stdio: 'inherit' }).status ?? 1;
