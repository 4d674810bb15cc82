import type { ResourceUse } from '../processes/proc-entry.ts';
import type { Limits } from '../protocol/prompt.ts';

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
