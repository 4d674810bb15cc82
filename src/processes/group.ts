import { isDead, type ProcessStat, readMarked, readStat } from './proc-entry.ts';
import { processIds } from './proc-scanner.ts';
import { visitInSlices } from './slices.ts';
import { systemCode } from './spawn-error.ts';
import { killProcess, supportsSweep } from './sweep.ts';

/** `starttime` in /proc counts in USER_HZ, which is 100 on every Linux. */
const TICKS_PER_SECOND = 100;

/**
 * Whether any living process is in the group. `kill(-pgid, 0)` alone would also count zombies, which stay for
 * ever where PID 1 does not reap; it is asked first because it is one syscall.
 */
export async function groupAlive(groupId: number): Promise<boolean> {
  if (!groupExists(groupId)) return false;
  return !supportsSweep() || (await membersOf(groupId)).length > 0;
}

/**
 * SIGKILLs what is left of the group of a leader that has exited, also members that dropped the marker.
 *
 * The leader's number may name another group by now, so the group is never signalled as such. A number is only given
 * again when nobody has it as a process, a group or a session: where another process has it, ours had no leftovers. Where
 * none has it, a member that started before our leader was reaped is proven ours: until then the number was the
 * leader's, and no living process can move into a session made later under that number. (The time alone is not enough: we
 * hear of an exit some milliseconds after it, and a number can be given again within that.)
 */
export async function killGroupLeftovers(
  groupId: number,
  leaderExitedAtUptimeS: number,
  marker: string,
): Promise<readonly number[]> {
  if (!supportsSweep() || !groupExists(groupId)) return [];
  const holder = readStat(groupId);
  // Our leader itself may live on, when who told of its exit had only lost sight of it.
  if (holder !== null && !isDead(holder) && readMarked(groupId)?.marker !== marker) return [];
  const lastTick = Math.floor(leaderExitedAtUptimeS * TICKS_PER_SECOND);
  const killed: number[] = [];
  for (const { pid, stat } of await membersOf(groupId)) {
    if (stat.sessionId !== groupId || stat.startTicks > lastTick) continue;
    if (readStat(pid)?.startTicks === stat.startTicks && killProcess(pid)) killed.push(pid);
  }
  return killed;
}

async function membersOf(groupId: number): Promise<{ pid: number; stat: ProcessStat }[]> {
  const members: { pid: number; stat: ProcessStat }[] = [];
  await visitInSlices(await processIds(), (pid) => {
    const stat = readStat(pid);
    if (stat !== null && stat.groupId === groupId && !isDead(stat)) members.push({ pid, stat });
  });
  return members;
}

function groupExists(groupId: number): boolean {
  try {
    return process.kill(-groupId, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}
