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
import {
  createStartingCgroups,
  findOwnCgroup,
  mayUseCgroups,
  ownCgroup,
} from '../../../src/processes/cgroups.ts';
import { createProcScanner } from '../../../src/processes/proc-scanner.ts';
import { sweep } from '../../../src/processes/sweep.ts';
import { eventually } from '../../helpers/eventually.ts';
import { fakePrompt, journalOf } from '../../helpers/fake-cli.ts';
import { commandLine, descendants, isAlive } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';
import { PATIENCE, reached, startFakeSystem } from '../fake-system.ts';

const own = findOwnCgroup();
const allowed = mayUseCgroups(own);
const foldersOf = (node: string): string[] =>
  own !== null && existsSync(own)
    ? readdirSync(own).filter((name) => name.startsWith(`bullpen.${node}.`))
    : [];

describe('our own cgroup', () => {
  const mounted = (root: string, at: string): string =>
    `24 1 0:22 / /proc rw - proc proc rw\n31 23 0:27 ${root} ${at} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n`;

  it.each([
    [
      'of a service',
      mounted('/', '/sys/fs/cgroup'),
      '0::/system.slice/bullpen.service',
      '/sys/fs/cgroup/system.slice/bullpen.service',
    ],
    [
      'beside the old hierarchies',
      mounted('/', '/sys/fs/cgroup/unified'),
      '8:pids:/a\n0::/b',
      '/sys/fs/cgroup/unified/b',
    ],
    ['at the root', mounted('/', '/sys/fs/cgroup'), '0::/', '/sys/fs/cgroup'],
    [
      'below a mount of a part',
      mounted('/docker/c1', '/sys/fs/cgroup'),
      '0::/docker/c1/x',
      '/sys/fs/cgroup/x',
    ],
    ['at a path with a space', mounted('/', '/mnt/c\\040g'), '0::/x', '/mnt/c g/x'],
    ['outside of what is mounted', mounted('/docker/c1', '/sys/fs/cgroup'), '0::/docker/c11', null],
    ['above our namespace', mounted('/', '/sys/fs/cgroup'), '0::/../other', null],
    ['that was removed', mounted('/', '/sys/fs/cgroup'), '0::/gone (deleted)', null],
    [
      'of the old hierarchies alone',
      '31 23 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
      '8:pids:/a',
      null,
    ],
    ['that is not mounted', '24 1 0:22 / /proc rw - proc proc rw', '0::/x', null],
  ])('%s is found, or known not to be there', (_what, mountinfo, cgroup, expected) => {
    expect(ownCgroup(mountinfo, `${cgroup}\n`)).toBe(expected);
  });
});

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

describe('what has no marker and left its session', () => {
  it.each([
    ['is ended by the launcher when the server is killed', false],
    ['is ended by the next start when the launcher is killed too', true],
  ])('%s, where there are cgroups', async (_what, launcherToo) => {
    const system = await startFakeSystem();
    const node = readFileSync(join(system.server.home, 'node-id'), 'utf8').trim();
    const ready = system.path('ready');
    const steps = [
      { spawn: { setsid: true, double: true, cleanEnv: true } },
      { touch: ready },
      { hang: true },
    ];
    await system.submit({ prompt: fakePrompt(steps as Parameters<typeof fakePrompt>[0]) });
    await reached(ready);
    const { child: daemon } = journalOf(system.path('journal.jsonl'), 'spawned')[0] ?? expect.unreachable();
    expect(isAlive(daemon)).toBe(true);
    expect(foldersOf(node)).toHaveLength(allowed ? 1 : 0);
    const launcher = descendants(system.server.pid).find((pid) =>
      commandLine(pid)?.includes('launcher-process'),
    );
    if (launcherToo) process.kill(launcher ?? expect.unreachable(), 'SIGKILL');
    await system.server.kill('SIGKILL');
    if (launcherToo) {
      const { api } = await system.restart();
      await eventually(async () => (await api('GET', '/ready')).ok, PATIENCE);
    }
    await eventually(() => expect(system.marked()).toEqual([]), PATIENCE);
    if (allowed) await eventually(() => expect(isAlive(daemon)).toBe(false), PATIENCE);
    else process.kill(daemon, 'SIGKILL');
    await eventually(() => expect(foldersOf(node)).toEqual([]), PATIENCE);
  });
});
