import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A new empty folder (its real path). The caller removes it with {@link removeDir}. */
export function makeTempDir(): string {
  return realpathSync(mkdtempSync(join(tmpdir(), 'bullpen-test-')));
}

/** Removes a folder and all in it; one that is not there is fine. */
export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}

/**
 * A new empty folder (its real path), removed when the running test has finished. Only inside a
 * test.
 */
export function tempDir(): string {
  const dir = makeTempDir();
  onTestFinished(() => removeDir(dir));
  return dir;
}
