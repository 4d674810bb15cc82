import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { openDataFolder } from '../../../src/store/data-folder.ts';
import { lockFolder } from '../../../src/store/folder-lock.ts';
import { readServerNote } from '../../../src/store/server-note.ts';
import { tempDir } from '../../helpers/temp.ts';

const HOLDER = fileURLToPath(new URL('./hold-folder.ts', import.meta.url));

/** Another process that holds the folder; killed when the test has finished. */
async function holder(dir: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [HOLDER, dir], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child.stdout, 'data');
  return child;
}

async function lock(dir: string) {
  const held = await lockFolder(dir);
  onTestFinished(() => held.release());
  return held;
}

it('makes the folder for its owner alone, with a note of who serves it', async () => {
  const dir = join(tempDir(), 'state', 'bullpen');
  const held = await lock(dir);
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  for (const name of ['lock.db', 'server.json']) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
  expect(readServerNote(dir)).toMatchObject({ pid: process.pid, address: null });
  held.announce('http://127.0.0.1:3000');
  expect(readServerNote(dir)).toMatchObject({ pid: process.pid, address: 'http://127.0.0.1:3000' });
  held.release();
  held.release();
  expect(existsSync(join(dir, 'server.json'))).toBe(false);
});

it('refuses a folder that another process holds, and names the process and the folder', async () => {
  const dir = tempDir();
  const child = await holder(dir);
  const locked = await lockFolder(dir).catch((error: unknown) => error);
  expect(locked).toMatchObject({ code: 'config.locked', message: expect.stringContaining(dir) });
  expect(locked).toMatchObject({ message: expect.stringContaining(`pid ${child.pid},`) });
});

it('changes nothing in a data folder that another process holds', async () => {
  const [home, cwd] = [tempDir(), tempDir()];
  await holder(home);
  const open = join(home, 'open');
  writeFileSync(open, '');
  chmodSync(open, 0o644);
  const settings = { home, cwd, roots: [cwd], trustedRoots: [] };
  await expect(openDataFolder(settings)).rejects.toMatchObject({ code: 'config.locked' });
  expect(statSync(open).mode & 0o777).toBe(0o644);
});

it('is free the moment a holder was killed with SIGKILL, whatever it left behind', async () => {
  const dir = tempDir();
  const child = await holder(dir);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(readServerNote(dir)).toMatchObject({ pid: child.pid });
  await lock(dir);
  expect(readServerNote(dir)).toMatchObject({ pid: process.pid });
});

it('refuses a second lock of the same process and keeps the first', async () => {
  const dir = tempDir();
  const held = await lock(dir);
  await expect(lockFolder(dir)).rejects.toMatchObject({ code: 'config.locked' });
  const child = spawn(process.execPath, [HOLDER, dir], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [code] = await once(child, 'exit');
  expect(code).toBe(1);
  held.release();
  await lock(dir);
});

it('a broken note does not matter', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'server.json'), '{"pid":');
  await lock(dir);
  expect(JSON.parse(readFileSync(join(dir, 'server.json'), 'utf8'))).toMatchObject({ pid: process.pid });
});

it('refuses a folder that cannot be made', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'file'), '');
  await expect(lockFolder(join(dir, 'file', 'below'))).rejects.toMatchObject({ code: 'config.invalid' });
});

it('names a data folder that cannot be made as a wrong setting', async () => {
  const cwd = tempDir();
  writeFileSync(join(cwd, 'file'), '');
  const home = join(cwd, 'file', 'below');
  const settings = { home, cwd: tempDir(), roots: [], trustedRoots: [] };
  const message = expect.stringContaining(`the data folder ${home} cannot be used`);
  await expect(openDataFolder(settings)).rejects.toMatchObject({ code: 'config.invalid', message });
});

it('an aborted start takes no lock', async () => {
  const dir = tempDir();
  await expect(lockFolder(dir, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  await lock(dir);
});
