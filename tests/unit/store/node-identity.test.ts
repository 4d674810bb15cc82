import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadNodeId } from '../../../src/store/node-identity.ts';
import { tempDir } from '../../helpers/temp.ts';

it('is minted once and stays, in a file of the owner', async () => {
  const dir = tempDir();
  const id = await loadNodeId(dir);
  expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  expect(await loadNodeId(dir)).toBe(id);
  expect(statSync(join(dir, 'node-id')).mode & 0o777).toBe(0o600);
  expect(await loadNodeId(tempDir())).not.toBe(id);
});

it('of many that mint at once all answer the same id, and nothing else is left', async () => {
  const dir = tempDir();
  const ids = await Promise.all(Array.from({ length: 20 }, () => loadNodeId(dir)));
  expect(new Set(ids).size).toBe(1);
  expect(readdirSync(dir)).toEqual(['node-id']);
});

it('refuses a file that holds something else', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'node-id'), '');
  await expect(loadNodeId(dir)).rejects.toMatchObject({ code: 'config.invalid' });
});
