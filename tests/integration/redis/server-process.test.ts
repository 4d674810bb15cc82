import { pbkdf2 } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { serverPaths } from '../../../src/redis/private/server-files.ts';
import { launchServer } from '../../../src/redis/private/server-process.ts';
import { tempDir } from '../../helpers/temp.ts';

/** More than the threads that Node has for files: each access to one waits for some of these. */
const AT_ONCE = 8;
const ROUNDS = 8000;

function keepThreadsBusy(): void {
  let over = false;
  const work = async (): Promise<void> => {
    while (!over) await promisify(pbkdf2)('password', 'salt', ROUNDS, 64, 'sha512');
  };
  const all = Promise.all(Array.from({ length: AT_ONCE }, work));
  onTestFinished(async () => {
    over = true;
    await all;
  });
}

it('a server that ends at once is seen to end, however busy this process is', async () => {
  const dir = tempDir();
  const paths = serverPaths(dir);
  mkdirSync(paths.data);
  const path = join(dir, 'ends-at-once');
  writeFileSync(path, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
  keepThreadsBusy();
  const launched = launchServer({
    ...{ paths, port: 1, password: 'x', signal: new AbortController().signal },
    binary: { path, version: '8.0.0', libraryPath: null },
    readyTimeoutMs: 40_000,
    onLoaded: () => Promise.reject(new Error('it has not loaded anything')),
  });
  await expect(launched).rejects.toThrow('it ended with code 3');
});
