/**
 * The program that tests start: built once before them from the source as it is, as a package is
 * built and laid out. It takes less CPU time to start than the source.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILT = 'BULLPEN_TEST_BUILD';

/** bin.js of the build; of the source in a script that no test has started. */
export const PROGRAM = join(process.env[BUILT] ?? ROOT, 'src/bin.js');

/** Called for each project of the tests; the first one builds. */
export function setup(): (() => void) | undefined {
  if (process.env[BUILT] !== undefined) return;
  const dir = mkdtempSync(join(tmpdir(), 'bullpen-build-'));
  mkdirSync(join(dir, 'src'));
  for (const name of ['package.json', 'src/bin.js']) copyFileSync(join(ROOT, name), join(dir, name));
  symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
  const build = [join(ROOT, 'scripts/build.ts'), join(dir, 'dist')];
  const { status, stdout, stderr } = spawnSync(process.execPath, build, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`the programs cannot be built: ${stdout}${stderr}`);
  process.env[BUILT] = dir;
  return () => rmSync(dir, { recursive: true, force: true });
}
