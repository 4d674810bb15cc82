import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createCliProbe, usualPlaces } from '../../../src/executor/cli-probe.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { eventually } from '../../helpers/eventually.ts';
import { isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PROVIDER_HOST, providerSettings } from '../../unit/providers/settings.ts';

const { provider } = createProviders(providerSettings(), PROVIDER_HOST).get('claude');

/** A machine whose home has no CLI yet. */
function machine(roots: readonly string[] = [], timeoutMs = 10_000) {
  const home = tempDir();
  const bin = join(home, 'bin');
  mkdirSync(bin);
  const install = (...path: string[]): string => {
    const file = join(home, ...path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho ${path.at(-2)?.replace(/^v/, '')}\n`, { mode: 0o755 });
    return file;
  };
  const probe = createCliProbe({
    searchPath: `:.:${bin}:bin`,
    otherPlaces: () =>
      usualPlaces(
        home,
        roots.map((root) => join(home, root)),
      ),
    env: { PATH: '/bin:/usr/bin', HOME: home },
    timeoutMs,
  });
  return { home, bin, install, find: () => probe.find(provider, null), probe };
}

describe('looking for a CLI', () => {
  it('finds at once what a link points to now, whether its old target is still there or not', async () => {
    for (const isRemoved of [false, true]) {
      const { home, bin, install, find, probe } = machine();
      const link = join(bin, 'claude');
      symlinkSync(install('versions', 'v1.0', 'claude'), link);
      const before = await find();
      expect(await probe.version(provider, before)).toBe('1.0');
      symlinkSync(install('versions', 'v2.0', 'claude'), `${link}.new`);
      renameSync(`${link}.new`, link);
      if (isRemoved) rmSync(join(home, 'versions', 'v1.0'), { recursive: true });
      const after = await find();
      expect(after.binary).toBe(link);
      expect(after.identity).not.toBe(before.identity);
      expect(probe.knownVersion(after)).toBeNull();
      expect(await probe.version(provider, after)).toBe('2.0');
      expect(probe.knownVersion(after)).toBe('2.0');
    }
  });

  it('takes a file that replaced it for another one', async () => {
    const { install, find } = machine();
    install('bin', 'claude');
    const before = await find();
    rmSync(before.binary);
    install('bin', 'claude');
    expect((await find()).identity).not.toBe(before.identity);
  });

  it('looks on PATH and then where installers put CLIs, whose folder the CLI gets on its PATH', async () => {
    const { bin, install, find, probe } = machine();
    await expect(find()).rejects.toThrow(
      `claude is not installed: no executable file on PATH, nor in ~/.local/bin, ~/.claude/local`,
    );
    const old = install('.nvm', 'versions', 'node', 'v9.1.0', 'bin', 'claude');
    expect(await find()).toMatchObject({ binary: old, extraFolder: join(old, '..') });
    const newer = install('.nvm', 'versions', 'node', 'v24.0.0', 'bin', 'claude');
    expect((await find()).binary).toBe(newer);
    const local = install('.local', 'bin', 'claude');
    expect((await find()).binary).toBe(local);
    const onPath = install('bin', 'claude');
    expect(await find()).toMatchObject({ binary: onPath, extraFolder: null });
    expect(onPath).toBe(join(bin, 'claude'));
    await expect(probe.find(provider, '/missing/claude')).rejects.toThrow('where the settings say');
  });

  it('looks into no place that a job may write to, unless its root has the whole home in it', async () => {
    const { install, find } = machine(['.local', 'work']);
    install('.local', 'bin', 'claude');
    install('work', 'claude');
    await expect(find()).rejects.toThrow(/^claude is not installed: (?!.*\.local\/bin)/);
    const open = machine(['.']);
    const local = open.install('.local', 'bin', 'claude');
    expect((await open.find()).binary).toBe(local);
    expect(await usualPlaces('relative', [])).not.toContainEqual(expect.stringContaining('.local/bin'));
  });
});

describe('the version of a CLI', () => {
  it('that hangs is null in time, for all who ask, and nothing of its run is left', async () => {
    const { home, install, find, probe } = machine([], 500);
    const runs = join(home, 'runs');
    const file = install('bin', 'claude');
    writeFileSync(file, `#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! $$ >> '${runs}'\nwait\n`, {
      mode: 0o755,
    });
    const cli = await find();
    const asks = Array.from({ length: 3 }, () => probe.version(provider, cli));
    expect(await Promise.all([...asks, probe.version(provider, cli)])).toEqual([null, null, null, null]);
    const pids = readFileSync(runs, 'utf8').trim().split(/\s/).map(Number);
    expect(pids).toHaveLength(2); // one run
    await eventually(() => pids.every((pid) => !isAlive(pid)));
  });

  it('is known although a process of it keeps its output open', async () => {
    const { home, install, find, probe } = machine();
    const left = join(home, 'left');
    const file = install('bin', 'claude');
    writeFileSync(file, `#!/bin/sh\nsetsid sleep 1000 & echo $! > '${left}'\necho 3.4.5\n`, { mode: 0o755 });
    expect(await probe.version(provider, await find())).toBe('3.4.5');
    process.kill(Number(readFileSync(left, 'utf8')), 'SIGKILL');
  });
});
