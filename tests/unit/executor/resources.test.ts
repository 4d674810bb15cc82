import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createCpuWatch, createResourceWatch, exceededLimit } from '../../../src/executor/resources.ts';
import type { ResourceUse } from '../../../src/processes/proc-entry.ts';
import { supportsSweep } from '../../../src/processes/sweep.ts';

const NONE = { maxMemoryBytes: null, maxCpuSeconds: null, maxOpenFiles: null, maxProcesses: null };
const USE = { memoryBytes: 1000, cpuSeconds: 10, openFiles: 20, processes: 3 };

describe('what an execution may use', () => {
  it('is everything when there is no limit', () => {
    expect(exceededLimit(USE, {}, NONE)).toBeNull();
  });

  it.each([
    ['memoryBytes', 999],
    ['cpuSeconds', 9],
    ['openFiles', 19],
    ['processes', 2],
  ] as const)('%s: ends above the limit, which is named, and not at it', (name, limit) => {
    expect(exceededLimit(USE, { [name]: limit }, NONE)).toBe(
      `the execution used ${USE[name]} ${name}; ${limit} are allowed`,
    );
    expect(exceededLimit(USE, { [name]: USE[name] }, NONE)).toBeNull();
  });

  it("is the smaller of the job's and the server's", () => {
    expect(exceededLimit(USE, { processes: 100 }, { ...NONE, maxProcesses: 2 })).toContain('; 2 are allowed');
    expect(exceededLimit(USE, { processes: 1 }, { ...NONE, maxProcesses: 2 })).toContain('; 1 are allowed');
  });
});

describe('the measuring of an execution', () => {
  it.runIf(supportsSweep())('of thousands of processes lets the event loop run', async () => {
    const one = { pid: process.pid, marker: 'node/e', startTicks: 1 };
    let turns = 0;
    let measures = false;
    const count = (): void => {
      turns += 1;
      if (measures) setImmediate(count);
    };
    const scan = async () => {
      measures = true;
      setImmediate(count);
      return Array(3000).fill(one);
    };
    const watch = createResourceWatch({ scan }, pino({ level: 'silent' }));
    const measured = Promise.withResolvers<ResourceUse>();
    const unfollow = watch.follow(one, 0, measured.resolve);
    expect((await measured.promise).processes).toBe(3000);
    measures = false;
    unfollow();
    expect(turns).toBeGreaterThan(3);
  });
});

describe('the CPU use of an execution', () => {
  /** What the watch says after each second, for the CPU time used so far. */
  function watch(maxCpuPercent: number | null, used: readonly number[]): readonly (string | null)[] {
    let at = 0;
    const look = createCpuWatch({ maxCpuPercent, cpuWindowMs: 3000 }, () => at);
    return used.map((cpuSeconds) => {
      at += 1000;
      return look(cpuSeconds);
    });
  }
  const used = (percent: number): string =>
    `the execution used ${percent} % of a CPU for 3000 ms; 80 are allowed`;

  it('is a mean: a short burst is allowed, and a run that is shorter than the time it is measured over', () => {
    expect(watch(80, [1, 2])).toEqual([null, null]);
    expect(watch(80, [1, 2, 2.3, 2.3, 2.4, 2.9, 3.9])).toEqual(Array(7).fill(null));
  });

  it('is above the limit after the whole time, and not at it', () => {
    expect(watch(80, [1, 2, 3])).toEqual([null, null, used(100)]);
    expect(watch(80, [0.8, 1.6, 2.4, 3.2])).toEqual(Array(4).fill(null));
    expect(watch(80, [0, 0, 0, 2, 4, 6])).toEqual([null, null, null, null, used(133), used(200)]);
  });

  it('is not looked at without a limit', () => {
    expect(watch(null, [9, 99, 999, 9999])).toEqual(Array(4).fill(null));
  });
});
