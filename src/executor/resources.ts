/**
 * Measures the resources of the running executions once a second, in one pass over /proc for all.
 * An execution that ends within a second is not measured.
 */
import type { Logger } from 'pino';
import { messageOf } from '../errors.ts';
import { NO_USE, type ResourceUse, resourceUse, sumOfUse } from '../processes/proc-entry.ts';
import { type ProcScanner, visitInSlices } from '../processes/proc-scanner.ts';
import { supportsSweep } from '../processes/sweep.ts';
import type { Limits } from '../protocol/prompt.ts';

const EVERY_MS = 1000;

export interface ResourceWatch {
  /**
   * Calls `look` once a second with the resources of all processes with this marker, until the
   * returned function is called.
   * @param cpuSecondsBefore CPU time that an earlier run used
   */
  follow(
    process: { readonly pid: number; readonly marker: string },
    cpuSecondsBefore: number,
    look: (use: ResourceUse) => void,
  ): () => void;
  /** The last measurement of this process; null before the first. */
  last(pid: number): ResourceUse | null;
}

interface Followed {
  readonly marker: string;
  readonly since: number;
  readonly cpuSecondsBefore: number;
  readonly look: (use: ResourceUse) => void;
  /**
   * The most that was measured: the time of a child without a waiting parent disappears with it.
   */
  cpuSeconds: number;
  last: ResourceUse | null;
}

/** Measures nothing without a Linux /proc. */
export function createResourceWatch(scanner: ProcScanner, logger: Logger): ResourceWatch {
  const followed = new Map<number, Followed>();
  let timer: NodeJS.Timeout | null = null;

  async function measureAll(): Promise<void> {
    const now = performance.now();
    const due = [...followed].filter(([, { since }]) => now - since >= EVERY_MS);
    if (due.length === 0) return;
    const markers = new Set(due.map(([, { marker }]) => marker));
    const uses = new Map<string, ResourceUse>();
    const found = (await scanner.scan()).filter(({ marker }) => markers.has(marker));
    await visitInSlices(found, ({ marker, pid }) => {
      uses.set(marker, sumOfUse(uses.get(marker) ?? NO_USE, resourceUse(pid)));
    });
    for (const [pid, one] of due) {
      if (followed.get(pid) !== one) continue;
      const use = uses.get(one.marker) ?? NO_USE;
      one.cpuSeconds = Math.max(one.cpuSeconds, use.cpuSeconds - one.cpuSecondsBefore);
      one.last = { ...use, cpuSeconds: one.cpuSeconds };
      one.look(one.last);
    }
  }

  function schedule(): void {
    timer ??= setTimeout(() => {
      measureAll()
        .catch((error: unknown) => logger.warn({ reason: messageOf(error) }, 'reading /proc failed'))
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

/** Limits of one execution by the server's settings. Null: no limit. */
export interface ResourceSettings {
  readonly maxMemoryBytes: number | null;
  readonly maxCpuSeconds: number | null;
  readonly maxOpenFiles: number | null;
  readonly maxProcesses: number | null;
}

/** The limit of the CPU use by the settings. Null: no limit. */
export interface CpuSettings {
  readonly maxCpuPercent: number | null;
  readonly cpuWindowMs: number;
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
 * Names the resource and the limit that is exceeded; null while there is none. The lower limit of
 * the job and the settings counts.
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

/**
 * Follows the CPU use of one execution: a function that takes the CPU time so far and names the use
 * when its mean over the last `cpuWindowMs` is above the limit. 100 % is one busy core. The first
 * `cpuWindowMs` have no limit.
 */
export function createCpuWatch(
  { maxCpuPercent, cpuWindowMs }: CpuSettings,
  now: () => number = () => performance.now(),
): (cpuSeconds: number) => string | null {
  if (maxCpuPercent === null) return () => null;
  const samples = [{ at: now(), cpuSeconds: 0 }];
  return (cpuSeconds) => {
    const at = now();
    samples.push({ at, cpuSeconds });
    // The oldest sample that is kept is the last one from before the window.
    while (at - (samples[1]?.at ?? at) >= cpuWindowMs) samples.shift();
    const [first] = samples;
    if (first === undefined || at - first.at < cpuWindowMs) return null;
    const percent = Math.round(((cpuSeconds - first.cpuSeconds) * 100_000) / (at - first.at));
    if (percent <= maxCpuPercent) return null;
    return `the execution used ${percent} % of a CPU for ${cpuWindowMs} ms; ${maxCpuPercent} are allowed`;
  };
}
