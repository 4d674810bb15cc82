import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveWorkspace } from '../../src/workspace.ts';
import { tempDir } from '../helpers/temp.ts';

function setUp() {
  const dir = tempDir();
  const root = join(dir, 'work');
  const outside = join(dir, 'work-evil');
  for (const path of [join(root, 'sub', 'deep'), outside]) mkdirSync(path, { recursive: true });
  return { dir, root, outside, settings: { roots: [root], trustedRoots: [] as string[] } };
}

const refused = expect.objectContaining({ code: 'cwd.not_allowed', status: 400 });

describe('the workspace of a job', () => {
  it('is a root or a folder below one', async () => {
    const { root, settings } = setUp();
    expect(await resolveWorkspace(root, settings)).toEqual({ cwd: root, trusted: false });
    const deep = join(root, 'sub', 'deep');
    expect(await resolveWorkspace(deep, settings)).toEqual({ cwd: deep, trusted: false });
    expect(await resolveWorkspace(`${deep}/../deep//`, settings)).toEqual({ cwd: deep, trusted: false });
  });

  it('may be anywhere when the root is /', async () => {
    const { outside } = setUp();
    expect(await resolveWorkspace(outside, { roots: ['/'], trustedRoots: [] })).toMatchObject({
      cwd: outside,
    });
  });

  it('has its symbolic links resolved', async () => {
    const { root, settings } = setUp();
    symlinkSync(join(root, 'sub'), join(root, 'link'));
    expect(await resolveWorkspace(join(root, 'link', 'deep'), settings)).toMatchObject({
      cwd: join(root, 'sub', 'deep'),
    });
  });

  it('may be in a root that is a link itself', async () => {
    const { dir, root } = setUp();
    const link = join(dir, 'link-to-work');
    symlinkSync(root, link);
    const settings = { roots: [link], trustedRoots: [] };
    expect(await resolveWorkspace(join(link, 'sub'), settings)).toMatchObject({ cwd: join(root, 'sub') });
    expect(await resolveWorkspace(join(root, 'sub'), settings)).toMatchObject({ cwd: join(root, 'sub') });
  });

  it('is outside a root whose name is only the beginning of its own', async () => {
    const { outside, settings } = setUp();
    await expect(resolveWorkspace(outside, settings)).rejects.toEqual(refused);
  });

  it('outside the roots: the error names the roots only to callers who may know them', async () => {
    const { root, outside, settings } = setUp();
    const namesRoots = new RegExp(`inside an allowed root \\(${root}\\).*BULLPEN_ROOTS=${root},${outside}$`);
    await expect(resolveWorkspace(outside, settings, true)).rejects.toThrow(namesRoots);
    await expect(resolveWorkspace(outside, settings)).rejects.not.toThrow(root);
  });

  it('is refused when a link leads out of the root', async () => {
    const { root, outside, settings } = setUp();
    mkdirSync(join(outside, 'inner'));
    symlinkSync(outside, join(root, 'out'));
    symlinkSync(relative(root, outside), join(root, 'out-relative'));
    for (const cwd of ['out', 'out/inner', 'out-relative', 'sub/../out']) {
      await expect(resolveWorkspace(join(root, cwd), settings)).rejects.toEqual(refused);
    }
    await expect(resolveWorkspace(`${root}/out/../work-evil`, settings)).rejects.toEqual(refused);
  });

  it('is refused when a link has no target, or is a loop', async () => {
    const { root, settings } = setUp();
    symlinkSync(join(root, 'gone'), join(root, 'dangling'));
    symlinkSync(join(root, 'b'), join(root, 'a'));
    symlinkSync(join(root, 'a'), join(root, 'b'));
    for (const name of ['dangling', 'a']) {
      await expect(resolveWorkspace(join(root, name), settings)).rejects.toEqual(refused);
    }
  });

  it('is refused unless it is the absolute path of an existing folder', async () => {
    const { root, settings } = setUp();
    writeFileSync(join(root, 'file'), '');
    const bad = ['', '.', '..', 'sub', '~', '~/x', 'a/../../b', '/', '/etc', `${root}/..`, `${root}/../..`];
    const worse = [`${root}/file`, `${root}/none`, `${root}\0`, `${root}/sub\0/x`, `${root} `, ` ${root}`];
    const huge = [`${root}/${'x'.repeat(5000)}`, `${root}${'/x'.repeat(3000)}`];
    for (const cwd of [...bad, ...worse, ...huge]) {
      await expect(resolveWorkspace(cwd, settings), JSON.stringify(cwd.slice(0, 100))).rejects.toEqual(
        refused,
      );
    }
  });

  it('when refused, names the field and not the folders of the server', async () => {
    const { root, outside, settings } = setUp();
    const error = await resolveWorkspace(outside, settings).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ problems: [{ path: '/cwd' }] });
    expect(String(error)).not.toContain(root);
  });

  it('a missing root allows nothing, and the other roots still count', async () => {
    const { dir, root, outside } = setUp();
    const gone = join(dir, 'gone');
    await expect(resolveWorkspace(root, { roots: [gone], trustedRoots: [] })).rejects.toEqual(refused);
    expect(await resolveWorkspace(root, { roots: [gone, root], trustedRoots: [] })).toMatchObject({
      cwd: root,
    });
    mkdirSync(gone);
    rmSync(outside, { recursive: true });
    await expect(resolveWorkspace(outside, { roots: [gone], trustedRoots: [] })).rejects.toEqual(refused);
  });

  it('is trusted inside a trusted root only, and a trusted root alone allows nothing', async () => {
    const { root, outside } = setUp();
    const sub = join(root, 'sub');
    const settings = { roots: [root], trustedRoots: [sub, outside] };
    expect(await resolveWorkspace(join(sub, 'deep'), settings)).toMatchObject({ trusted: true });
    expect(await resolveWorkspace(root, settings)).toMatchObject({ trusted: false });
    await expect(resolveWorkspace(outside, settings)).rejects.toEqual(refused);
    symlinkSync(join(sub, 'deep'), join(root, 'to-trusted'));
    expect(await resolveWorkspace(join(root, 'to-trusted'), settings)).toMatchObject({ trusted: true });
  });
});
