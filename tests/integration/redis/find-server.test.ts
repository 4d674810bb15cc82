import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findRedisServer, probeServerBinary } from '../../../src/redis/private/find-server.ts';
import { tempDir } from '../../helpers/temp.ts';

function writeProgram(dir: string, name: string, output: string): string {
  const file = join(dir, name);
  writeFileSync(file, `#!/bin/sh\necho '${output}'\n`);
  chmodSync(file, 0o755);
  return file;
}

test('the search refuses an old server', async () => {
  const old = writeProgram(tempDir(), 'redis-server', 'Redis server v=5.0.14 sha=0');
  expect(await probeServerBinary(old, null)).toBeNull();
});

test('the search refuses what does not start', async () => {
  expect(await probeServerBinary(join(tempDir(), 'absent'), null)).toBeNull();
});

test('the search takes the first new enough server on the path, under either name', async () => {
  const [oldDir, newDir] = [tempDir(), tempDir()];
  writeProgram(oldDir, 'redis-server', 'Redis server v=5.0.14 sha=0');
  const valkey = writeProgram(newDir, 'valkey-server', 'Valkey server v=8.1.1 sha=0');

  const found = await findRedisServer({ cacheDir: tempDir(), path: `${oldDir}:${newDir}` });

  expect(found).toEqual({ path: valkey, version: '8.1.1', libraryPath: null });
});
