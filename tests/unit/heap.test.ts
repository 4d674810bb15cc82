import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const CHURNING = fileURLToPath(new URL('../fakes/churning.ts', import.meta.url));

const youngBytes = async (...args: readonly string[]): Promise<number> =>
  Number((await promisify(execFile)(process.execPath, ['--no-warnings', CHURNING, ...args])).stdout);

it('a flood of garbage leaves a held heap with a small young generation, and the process may end', async () => {
  const [free, held] = await Promise.all([youngBytes(), youngBytes('hold')]);
  expect(held).toBeGreaterThan(0);
  expect(held).toBeLessThan(free);
});
