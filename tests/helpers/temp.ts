import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whenOver } from './shared.ts';

/** A new empty folder (its real path). The caller removes it with {@link removeDir}. */
export function makeTempDir(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-test-')));
}

/** Removes a folder and all in it; one that is not there is fine. */
export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}

/** A new empty folder (its real path), removed after the test, or the file if it is shared. */
export function tempDir(): string {
  const dir = makeTempDir();
  whenOver(() => removeDir(dir));
  return dir;
}
