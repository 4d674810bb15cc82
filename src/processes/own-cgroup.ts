import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

/**
 * The folder of the cgroup (v2) this process is in, as it sees it; null where there is none: not on Linux, no cgroup2
 * mounted, or one that does not reach up to ours.
 */
export function findOwnCgroup(): string | null {
  try {
    return ownCgroup(readFileSync('/proc/self/mountinfo', 'utf8'), readFileSync('/proc/self/cgroup', 'utf8'));
  } catch {
    return null; // not Linux
  }
}

/**
 * The same from the texts of `/proc/self/mountinfo` (proc_pid_mountinfo(5)) and `/proc/self/cgroup` (cgroups(7)).
 * Beside the old hierarchies cgroup2 is mounted too, most often as /sys/fs/cgroup/unified.
 */
export function ownCgroup(mountinfo: string, cgroup: string): string | null {
  const path = /^0::(\/.*)$/m.exec(cgroup)?.[1];
  // Above the root of our cgroup namespace, or removed behind our back.
  if (path === undefined || path.startsWith('/..') || path.endsWith(' (deleted)')) return null;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    if (!after.startsWith('cgroup2 ')) continue;
    const [, , , root = '', mountPoint = ''] = before.split(' ');
    const below =
      root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : null;
    if (below !== null) return resolve(unescaped(mountPoint), `.${below}`);
  }
  return null;
}

/** Spaces and the like stand there as `\040`. */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
