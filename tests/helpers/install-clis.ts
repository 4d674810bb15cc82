/**
 * Before the tests that drive real CLIs: what tests/clis/package.json pins is installed there,
 * unless it is there already. A package of its own, because it weighs half a gigabyte that neither
 * the demo nor a user needs.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('../clis/', import.meta.url));
const INSTALL_WITHIN_MS = 600_000;

interface Manifest {
  readonly version?: string;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function manifest(...path: readonly string[]): Manifest {
  try {
    return JSON.parse(readFileSync(join(FOLDER, ...path, 'package.json'), 'utf8'));
  } catch {
    return {}; // not installed
  }
}

/** What vitest calls once before the projects that name this file. Rejects with npm's own words. */
export async function setup(): Promise<void> {
  const pinned = Object.entries(manifest().devDependencies ?? {});
  if (pinned.length === 0) throw new Error('tests/clis/package.json pins nothing');
  if (pinned.every(([name, version]) => manifest('node_modules', name).version === version)) return;
  // Their install scripts build native parts of their terminals only, which a run without one does
  // not need.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  await promisify(execFile)('npm', args, { cwd: FOLDER, timeout: INSTALL_WITHIN_MS });
}
