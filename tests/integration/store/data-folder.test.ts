import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import type { FileLock } from '../../../src/file-lock.ts';
import { loadNodeId, openDataFolder } from '../../../src/store/data-folder.ts';
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

const open = (home: string): Promise<FileLock> =>
  openDataFolder({ home, cwd: tempDir(), roots: [], trustedRoots: [], databasePath: null });

async function lock(dir: string) {
  const held = await open(dir);
  onTestFinished(() => held.release());
  return held;
}

it('creates the folder for its owner alone, with a note that names the process', async () => {
  const dir = join(tempDir(), 'state', 'bullpen');
  const held = await lock(dir);
  expect(statSync(dir).mode & 0o777).toBe(0o700);
  for (const name of ['lock.db', 'server.json']) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
  expect(readServerNote(dir)).toMatchObject({ pid: process.pid, address: null });
  held.release();
  held.release();
  expect(existsSync(join(dir, 'server.json'))).toBe(false);
});

it('locks a ledger that lies elsewhere, and refuses one that a job could change', async () => {
  const databasePath = join(tempDir(), 'new', 'jobs.db');
  const at = (home: string, roots: string[] = []) =>
    openDataFolder({ home, cwd: tempDir(), roots, trustedRoots: [], databasePath });
  const first = await at(tempDir());
  onTestFinished(() => first.release());
  expect(statSync(dirname(databasePath)).mode & 0o777).toBe(0o700);
  const locked = { code: 'config.locked', message: expect.stringContaining(databasePath) };
  const other = tempDir();
  await expect(at(other)).rejects.toMatchObject(locked);
  first.release();
  (await at(other)).release();
  const exposed = { code: 'config.invalid', message: expect.stringContaining('inside an allowed root') };
  await expect(at(other, [dirname(dirname(databasePath))])).rejects.toMatchObject(exposed);
  (await open(other)).release();
});

it('asks for no folder of jobs where jobs run on another host', async () => {
  const home = tempDir();
  const elsewhere = { cwd: '/nowhere/at/all', roots: ['/nowhere', dirname(home)], trustedRoots: ['/no'] };
  const settings = { home, ...elsewhere, databasePath: null };
  await expect(openDataFolder(settings)).rejects.toMatchObject({ code: 'config.invalid' });
  (await openDataFolder(settings, false)).release();
});

it('refuses a folder that another process holds, and names the process and the folder', async () => {
  const dir = tempDir();
  const child = await holder(dir);
  const locked = await open(dir).catch((error: unknown) => error);
  expect(locked).toMatchObject({ code: 'config.locked', message: expect.stringContaining(dir) });
  expect(locked).toMatchObject({ message: expect.stringContaining(`pid ${child.pid},`) });
});

it('changes nothing in a data folder that another process holds', async () => {
  const home = tempDir();
  await holder(home);
  const file = join(home, 'file');
  writeFileSync(file, '');
  chmodSync(file, 0o644);
  await expect(open(home)).rejects.toMatchObject({ code: 'config.locked' });
  expect(statSync(file).mode & 0o777).toBe(0o644);
});

it('is free as soon as its holder was killed with SIGKILL, despite the note it left', async () => {
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
  await expect(open(dir)).rejects.toMatchObject({ code: 'config.locked' });
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

it('reports a data folder that cannot be created as a wrong setting', async () => {
  const cwd = tempDir();
  writeFileSync(join(cwd, 'file'), '');
  const home = join(cwd, 'file', 'below');
  const message = expect.stringContaining(`the data folder ${home} cannot be used`);
  await expect(open(home)).rejects.toMatchObject({ code: 'config.invalid', message });
});

it('refuses a data folder inside a folder where jobs may run, also behind a link', async () => {
  const root = tempDir();
  mkdirSync(join(root, 'data'));
  const link = join(tempDir(), 'link');
  symlinkSync(root, link);
  for (const home of [join(root, 'data'), join(root, 'new'), join(link, 'data'), root]) {
    const opened = openDataFolder({ home, cwd: root, roots: [root], trustedRoots: [], databasePath: null });
    await expect(opened, home).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringContaining(`${home} lies inside an allowed root (${root})`),
    });
    expect(existsSync(join(home, 'lock.db'))).toBe(false);
  }
});

it.each([0o755, 0o710, 0o702])(
  'refuses a data folder with mode %o, and changes nothing in it',
  async (mode) => {
    const home = tempDir();
    writeFileSync(join(home, 'token'), '');
    chmodSync(home, mode);
    await expect(open(home)).rejects.toMatchObject({
      code: 'config.invalid',
      message: expect.stringMatching(`${home} .*\\(mode ${mode.toString(8)}\\); run \`chmod 700\` on it`),
    });
    expect([readdirSync(home), statSync(home).mode & 0o777]).toEqual([['token'], mode]);
    chmodSync(home, 0o700);
    await lock(home);
  },
);

it.runIf(process.getuid?.() === 0)('refuses a data folder of another user', async () => {
  const home = tempDir();
  chownSync(home, 12_345, 12_345);
  const message = expect.stringMatching(
    `${home} belongs to another user \\(uid 12345\\); run \`chown -R 0\``,
  );
  await expect(open(home)).rejects.toMatchObject({ code: 'config.invalid', message });
  expect(readdirSync(home)).toEqual([]);
});

it('creates the node id once, in a file of the owner', async () => {
  const dir = tempDir();
  const id = await loadNodeId(dir);
  expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  expect(await loadNodeId(dir)).toBe(id);
  expect(statSync(join(dir, 'node-id')).mode & 0o777).toBe(0o600);
  expect(await loadNodeId(tempDir())).not.toBe(id);
});

it('gives many that create the node id at once the same one, and leaves no draft', async () => {
  const dir = tempDir();
  const ids = await Promise.all(Array.from({ length: 20 }, () => loadNodeId(dir)));
  expect(new Set(ids).size).toBe(1);
  expect(readdirSync(dir)).toEqual(['node-id']);
});

it('refuses a node id file that holds something else', async () => {
  const dir = tempDir();
  writeFileSync(join(dir, 'node-id'), '');
  await expect(loadNodeId(dir)).rejects.toMatchObject({ code: 'config.invalid' });
});
