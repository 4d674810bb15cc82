import { describe, expect, it } from 'vitest';
import { exceededLimit } from '../../../src/executor/resources.ts';

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
