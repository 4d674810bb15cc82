import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { removeScratch } from '../../../src/executor/start-cli.ts';
import { createLogger } from '../../../src/logger.ts';
import { tempDir } from '../../helpers/temp.ts';

const logger = createLogger('fatal');

it('a scratch folder is removed with folders in it that are not writable', async () => {
  const dir = join(tempDir(), 'scratch');
  mkdirSync(join(dir, 'locked', 'deep'), { recursive: true });
  writeFileSync(join(dir, 'locked', 'deep', 'file'), '');
  for (const folder of ['locked/deep', 'locked']) chmodSync(join(dir, folder), 0o555);
  await removeScratch(dir, logger);
  expect(existsSync(dir)).toBe(false);
});

it('one that is not there, or is no folder, is no reason to fail', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'file'), '');
  await removeScratch(join(dir, 'nothing'), logger);
  await removeScratch(join(dir, 'file', 'below'), logger);
});
