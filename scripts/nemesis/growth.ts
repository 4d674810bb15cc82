/** Compares what processes use before and after the faults. */
import type { Violation } from './invariants.ts';

/** What one process uses. */
export interface Use {
  /** `main 1`, `launcher 1`, `redis` */
  readonly part: string;
  /** PSS in MB (1e6 bytes). */
  readonly memoryMb: number;
  /** Open descriptors, without those for workers. */
  readonly files: number;
}

/**
 * How much more a part may use after a run than before it, with nothing to do both times. In runs
 * of six minutes main had 27 MB more, its launcher 11, and neither more than two files.
 */
const MAY_GROW = {
  main: { memoryMb: 60, files: 12 },
  launcher: { memoryMb: 25, files: 6 },
  redis: { memoryMb: 10, files: 12 },
} as const;
/** What Redis may use for a job that is kept, with its events: 12 KB were measured. */
const MB_PER_JOB = 0.03;

/** @param jobs how many more jobs are kept after it */
export function findGrowth(before: readonly Use[], after: readonly Use[], jobs: number): Violation[] {
  return before.flatMap((first) => {
    const last = after.find(({ part }) => part === first.part);
    const [kind = ''] = first.part.split(' ');
    const may = MAY_GROW[kind as keyof typeof MAY_GROW]; // measureUse gives these names
    const wrong = (what: string) => ({ invariant: 'nothing has grown', what, jobIds: [] });
    if (last === undefined) return [wrong(`${first.part} does not run`)];
    const found: Violation[] = [];
    const mayUseMb = first.memoryMb + may.memoryMb + (kind === 'redis' ? jobs * MB_PER_JOB : 0);
    if (last.memoryMb > mayUseMb)
      found.push(
        wrong(`${first.part}: ${first.memoryMb.toFixed()} MB before, ${last.memoryMb.toFixed()} after`),
      );
    if (last.files > first.files + may.files)
      found.push(wrong(`${first.part}: ${first.files} open files before, ${last.files} after`));
    return found;
  });
}
