import { describe, expect, it } from 'vitest';
import { ownCgroup } from '../../../src/processes/cgroups.ts';

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
