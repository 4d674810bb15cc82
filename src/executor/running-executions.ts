import type { RunningExecution } from '../protocol/server-info.ts';
import type { Active } from './active.ts';
import type { ResourceWatch } from './resource-watch.ts';

/** What runs on this node now, with what it used when it was looked at last. */
export function runningExecutions(
  active: Iterable<Active>,
  resources: Pick<ResourceWatch, 'last'>,
): readonly RunningExecution[] {
  const now = Date.now();
  const listed: RunningExecution[] = [];
  for (const { claim, provider, running, started } of active) {
    if (!running || started === null) continue;
    const use = resources.last(started.pid);
    listed.push({
      executionId: claim.executionId,
      jobId: claim.jobId,
      attempt: claim.attempt,
      provider,
      pid: started.pid,
      startedAt: new Date(started.at).toISOString(),
      ageMs: Math.max(0, now - started.at),
      idleMs: Math.max(0, now - started.lastEventAt),
      memoryBytes: use?.memoryBytes ?? null,
      cpuSeconds: use?.cpuSeconds ?? null,
      openFiles: use?.openFiles ?? null,
      processes: use?.processes ?? null,
    });
  }
  return listed;
}
