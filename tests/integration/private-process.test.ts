/** What a server keeps to itself: its files, and what its own starter had left open. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { descendants } from '../helpers/proc.ts';
import { startServer } from '../helpers/server.ts';
import { shared, whenOver } from '../helpers/shared.ts';
import { tempDir } from '../helpers/temp.ts';

const script = (code: string) => ({ binary: 'sh', args: ['-c', code] });

/** Everything below a folder and the folder itself, with its mode: `redis/lock 600`. */
function modesOf(top: string): readonly string[] {
  const below = readdirSync(top, { recursive: true, encoding: 'utf8' }).map((name) => join(top, name));
  return [top, ...below].map((path) => {
    const { mode } = lstatSync(path);
    return `${relative(top, path) || '.'} ${(mode & 0o777).toString(8)}`;
  });
}

const SEEN = '(for f in /proc/self/fd/*; do readlink "$f"; done; cat <&50) 2>&1; true';

/** A server in a folder whose files others could read. Its starter has a file open. */
const setUp = shared(async () => {
  const dir = tempDir();
  const maker = script('umask; touch made; mkdir folder');
  const config = { providers: { custom: { maker, seen: script(SEEN) } } };
  const first = await startServer({ dir, config });
  await first.stop();
  const cliHome = join(first.home, 'home');
  mkdirSync(cliHome);
  writeFileSync(join(cliHome, 'tool'), '#!/bin/sh\n');
  chmodSync(join(cliHome, 'tool'), 0o755);
  for (const path of ['token', 'ledger.db', 'redis', 'redis/lock', 'redis/data', 'redis/users.acl']) {
    chmodSync(join(first.home, path), lstatSync(join(first.home, path)).isDirectory() ? 0o755 : 0o644);
  }

  const file = join(tempDir(), 'of-the-starter');
  writeFileSync(file, 'x');
  const inherited = openSync(file, 'r');
  whenOver(() => closeSync(inherited));
  return { dir, file, server: await startServer({ dir, config, inherited }) };
});

it('every file of the data folder is private, also one that was not; those of a CLI have the usual mode', async () => {
  const { dir, server } = await setUp();
  const job = await server.run({ prompt: 'x', provider: 'maker' });
  expect(job.outcome?.text).toBe(execFileSync('sh', ['-c', 'umask'], { encoding: 'utf8' }).trim());
  const modes = modesOf(server.home);
  for (const name of ['launcher.sock', 'redis/lock', 'redis/data/appendonlydir', 'ledger.db-wal']) {
    expect(modes.map((line) => line.split(' ')[0])).toContain(name);
  }
  expect(modes.filter((line) => !/ (700|600)$/.test(line))).toEqual(['home/tool 755']);
  // As this process makes them itself.
  const usual = join(dir, 'usual');
  mkdirSync(join(usual, 'folder'), { recursive: true });
  writeFileSync(join(usual, 'made'), '');
  expect(modesOf(server.workspace).toSorted()).toEqual(modesOf(usual).toSorted());
});

it.runIf(process.platform === 'linux')(
  'no process gets a file that the starter of the server had left open',
  async () => {
    const { file, server } = await setUp();
    const job = await server.run({ prompt: 'x', provider: 'seen' });
    expect(job.outcome?.text).toContain('socket:');
    expect(job.outcome?.text).not.toContain(file);
    const others = descendants(server.pid).map((pid) => ({ pid, files: filesOf(pid) }));
    expect(others.length).toBeGreaterThan(2); // Redis, the launcher, workers
    expect(others.filter(({ files }) => files.includes(file))).toEqual([]);
  },
);

const filesOf = (pid: number): readonly string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      return []; // closed in between
    }
  });
