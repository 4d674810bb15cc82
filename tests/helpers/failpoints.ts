/** The test's side of the failpoints of a program: files in a folder. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FailpointName } from '../../src/failpoint.ts';
import { eventually } from './eventually.ts';

/** For what a noisy machine may delay. */
const PATIENCE = { timeoutMs: 30_000 };

export interface Failpoints {
  hold(name: FailpointName): void;
  release(name: FailpointName): void;
  /** The pid of the process that waits there; `other` than this one. */
  reached(name: FailpointName, other?: number): Promise<number>;
  /** Nothing is held any more. */
  clear(): void;
}

/** @param folder BULLPEN_TEST_FAILPOINTS of the program */
export function createFailpoints(folder: string): Failpoints {
  const file = (name: FailpointName, kind: 'hold' | 'reached'): string => join(folder, `${name}.${kind}`);
  return {
    hold(name) {
      rmSync(file(name, 'reached'), { force: true });
      writeFileSync(file(name, 'hold'), '');
    },
    release: (name) => rmSync(file(name, 'hold'), { force: true }),
    reached: (name, other) =>
      eventually(() => {
        const pid = existsSync(file(name, 'reached'))
          ? Number(readFileSync(file(name, 'reached'), 'utf8'))
          : 0;
        return pid > 0 && pid !== other ? pid : null;
      }, PATIENCE),
    clear() {
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
    },
  };
}
