/**
 * Where the kernel lets us make cgroups nothing a CLI started escapes; elsewhere all of it is a
 * no-op. Each test says both, and which one is true is found out by asking the kernel.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { describe, expect, it } from 'vitest';
import { createStartingCgroups, findOwnCgroup, mayUseCgroups } from '../../../src/processes/cgroups.ts';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import { sweep } from '../../../src/processes/sweep.ts';
import { eventually } from '../../helpers/eventually.ts';
import { tempDir } from '../../helpers/temp.ts';

/** For what a noisy machine may delay. */
const PATIENCE = { timeoutMs: 30_000 };
const own = findOwnCgroup();
const allowed = mayUseCgroups(own);
const foldersOf = (node: string): string[] =>
  own !== null && existsSync(own)
    ? readdirSync(own).filter((name) => name.startsWith(`bullpen.${node}.`))
    : [];

describe('a cgroup of an execution', () => {
  it('is not used in a folder that is none, and leaves nothing there', async () => {
    const dir = tempDir();
    const cgroups = createStartingCgroups(dir);
    expect(mayUseCgroups(dir)).toBe(false);
    expect(cgroups.inside(`${ulid()}/${ulid()}`, () => 'started')).toBe('started');
    expect(cgroups.members()).toEqual([]);
    expect(cgroups.kill(`${ulid()}/`)).toEqual([]);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('holds what was started inside from its first moment, and nothing else', async () => {
    const cgroups = createStartingCgroups();
    const marker = `${ulid()}/${ulid()}`;
    const [node = ''] = marker.split('/');
    const before = readFileSync('/proc/self/cgroup', 'utf8');
    const child = cgroups.inside(marker, () =>
      spawn(
        '/bin/sh',
        ['-c', 'while read -r line; do echo "$line"; done </proc/self/cgroup; echo done; read -r line'],
        {
          stdio: ['pipe', 'pipe', 'ignore'],
        },
      ),
    );
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await eventually(() => said.includes('done\n'), PATIENCE);
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before);
    expect(said.includes(`/bullpen.${node}.`)).toBe(allowed);
    expect(cgroups.members().filter((member) => member.marker === marker)).toEqual(
      allowed ? [{ pid: child.pid, marker }] : [],
    );
    cgroups.remove(marker); // a process is in it
    expect(foldersOf(node)).toHaveLength(allowed ? 1 : 0);
    child.stdin.end();
    await once(child, 'exit');
    cgroups.remove(marker);
    expect(foldersOf(node)).toEqual([]);
  });

  it('ends one that forks away faster than /proc can be read, without its marker and its session', async () => {
    const dir = tempDir();
    const [hop, stop, trace] = [join(dir, 'hop'), join(dir, 'stop'), join(dir, 'trace')];
    writeFileSync(hop, `[ -e ${stop} ] && exit\necho $$ >> ${trace}\nenv -i setsid sh ${hop} &\n`);
    const marker = `${ulid()}/${ulid()}`;
    const child = createStartingCgroups().inside(marker, () => spawn('/bin/sh', [hop], { stdio: 'ignore' }));
    await once(child, 'exit');
    const hops = (): number => (existsSync(trace) ? readFileSync(trace, 'utf8').split('\n').length : 0);
    await eventually(() => hops() > 20, PATIENCE);
    try {
      const { survivors } = await sweep(marker, { scanner: createProcScanner() });
      expect(survivors).toEqual([]);
      const after = hops();
      if (allowed) {
        await expect(eventually(() => hops() > after, { timeoutMs: 300 })).rejects.toThrow();
        expect(foldersOf(marker.split('/')[0] ?? '')).toEqual([]);
      } else await eventually(() => hops() > after, PATIENCE); // the documented limit
    } finally {
      writeFileSync(stop, '');
    }
  });

  it('is removed with the cgroups a CLI has made below it', () => {
    const cgroups = createStartingCgroups();
    const node = ulid();
    const made = cgroups.inside(`${node}/${ulid()}`, () => {
      const [folder] = foldersOf(node);
      if (own !== null && folder !== undefined) mkdirSync(join(own, folder, 'below'));
      return folder !== undefined;
    });
    expect(made).toBe(allowed);
    cgroups.remove(`${node}/`);
    expect(foldersOf(node)).toEqual([]);
  });
});
