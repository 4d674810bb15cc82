import { appendFileSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rememberFolder, runFolders } from '../../../src/store/run-folders.ts';
import { tempDir } from '../../helpers/temp.ts';

const DAY_MS = 24 * 3_600_000;

function place() {
  const dir = tempDir();
  const [home, project] = [join(dir, 'state/data'), join(dir, 'project')];
  mkdirSync(project);
  return { dir, home, project };
}

describe('the folders in which commands were typed', () => {
  it('are added while they are read, by their real path, each once', () => {
    const { dir, home, project } = place();
    symlinkSync(project, join(dir, 'link'));
    rememberFolder(home, join(dir, 'missing'));
    const folders = runFolders(home);
    expect(folders()).toEqual([]);
    for (const one of [project, join(dir, 'link'), project]) rememberFolder(home, one);
    expect(folders()).toEqual([project]);
    expect(statSync(join(home, 'run-folders.ndjson')).mode & 0o777).toBe(0o600);
  });

  it('count for 30 days', () => {
    const { home, project } = place();
    rememberFolder(home, project);
    expect(runFolders(home, () => Date.now() + 29 * DAY_MS)()).toEqual([project]);
    expect(runFolders(home, () => Date.now() + 31 * DAY_MS)()).toEqual([]);
  });

  it('never hold the data folder, whose token a CLI could read there', () => {
    const { dir, home } = place();
    for (const one of [dir, home, '/']) rememberFolder(home, one);
    expect(runFolders(home)()).toEqual([]);
  });

  it('are read past lines that are none', () => {
    const { home, project } = place();
    rememberFolder(home, project);
    const file = join(home, 'run-folders.ndjson');
    appendFileSync(file, '{"folder":"relative","at":9e15}\n{"folder":7,"at":1}\nnull\n{"fol');
    expect(runFolders(home)()).toEqual([project]);
  });
});
