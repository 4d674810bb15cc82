/**
 * Looks once a second at what the running executions use, in one pass over /proc for all of them. Those that are
 * over within a second are never looked at.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { type ResourceUse, resourceUse } from '../processes/proc-entry.ts';
import type { ProcScanner } from '../processes/proc-scanner.ts';
import { supportsSweep } from '../processes/sweep.ts';
import type { Limits } from '../protocol/prompt.ts';

const EVERY_MS = 1000;

export interface ResourceWatch {
  /**
   * `look` gets what this process and all that carry its marker use, once a second until the returned function is
   * called.
   * @param cpuSecondsBefore what they had used before, for somebody else
   */
  follow(
    process: { readonly pid: number; readonly marker: string },
    cpuSecondsBefore: number,
    look: (use: ResourceUse) => void,
  ): () => void;
  /** What was seen last of this process and its own; null before the first look. */
  last(pid: number): ResourceUse | null;
}

interface Followed {
  readonly marker: string;
  readonly since: number;
  readonly cpuSecondsBefore: number;
  readonly look: (use: ResourceUse) => void;
  /** What is known to have been used: that of a child nobody has waited for is gone with it. */
  cpuSeconds: number;
  last: ResourceUse | null;
}

/** Does nothing where there is no Linux /proc. */
export function createResourceWatch(scanner: ProcScanner, logger: Logger): ResourceWatch {
  const followed = new Map<number, Followed>();
  let timer: NodeJS.Timeout | null = null;

  async function lookAtAll(): Promise<void> {
    const now = performance.now();
    const due = [...followed].filter(([, { since }]) => now - since >= EVERY_MS);
    if (due.length === 0) return;
    const pidsOf = new Map<string, number[]>();
    for (const { marker, pid } of await scanner.scan()) {
      const pids = pidsOf.get(marker);
      if (pids === undefined) pidsOf.set(marker, [pid]);
      else pids.push(pid);
    }
    for (const [pid, one] of due) {
      if (followed.get(pid) !== one) continue;
      const use = resourceUse(pidsOf.get(one.marker) ?? []);
      one.cpuSeconds = Math.max(one.cpuSeconds, use.cpuSeconds - one.cpuSecondsBefore);
      one.last = { ...use, cpuSeconds: one.cpuSeconds };
      one.look(one.last);
    }
  }

  function schedule(): void {
    timer ??= setTimeout(() => {
      lookAtAll()
        .catch((error: unknown) => logger.warn({ reason: messageOf(error) }, 'looking at /proc failed'))
        .finally(() => {
          timer = null;
          if (followed.size > 0) schedule();
        });
    }, EVERY_MS);
  }

  return {
    follow({ pid, marker }, cpuSecondsBefore, look) {
      if (!supportsSweep()) return () => {};
      followed.set(pid, {
        marker,
        since: performance.now(),
        cpuSecondsBefore,
        look,
        cpuSeconds: 0,
        last: null,
      });
      schedule();
      return () => {
        followed.delete(pid);
        if (followed.size > 0 || timer === null) return;
        clearTimeout(timer);
        timer = null;
      };
    },
    last: (pid) => followed.get(pid)?.last ?? null,
  };
}

/** What one execution may use at the most, by the server's settings; null: as much as there is. */
export interface ResourceSettings {
  readonly maxMemoryBytes: number | null;
  readonly maxCpuSeconds: number | null;
  readonly maxOpenFiles: number | null;
  readonly maxProcesses: number | null;
}

type Measured = keyof ResourceUse;

const SETTING: Readonly<Record<Measured, keyof ResourceSettings>> = {
  memoryBytes: 'maxMemoryBytes',
  cpuSeconds: 'maxCpuSeconds',
  openFiles: 'maxOpenFiles',
  processes: 'maxProcesses',
};
const MEASURED: readonly Measured[] = ['memoryBytes', 'cpuSeconds', 'openFiles', 'processes'];

/**
 * What is used beyond its limit, in words that name the limit; null while all is within. The smaller of what the
 * job asks and of what the settings allow counts.
 */
export function exceededLimit(use: ResourceUse, asked: Limits, settings: ResourceSettings): string | null {
  for (const name of MEASURED) {
    const limit = Math.min(
      asked[name] ?? Number.POSITIVE_INFINITY,
      settings[SETTING[name]] ?? Number.POSITIVE_INFINITY,
    );
    if (use[name] > limit) return `the execution used ${use[name]} ${name}; ${limit} are allowed`;
  }
  return null;
}
