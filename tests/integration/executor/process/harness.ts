import { randomUUID } from 'node:crypto';
import { expect, onTestFinished } from 'vitest';
import { createProcScanner, type ProcScanner } from '../../../../src/executor/process/proc-scanner.ts';
import { type SpawnRequest, spawnProcess } from '../../../../src/executor/process/spawn.ts';
import type { SpawnedProcess } from '../../../../src/executor/process/spawned-process.ts';
import { eventually } from '../../../helpers/eventually.ts';
import { installFakeCli } from '../../../helpers/fake-cli.ts';
import { processesWithMarker } from '../../../helpers/proc.ts';
import { tempDir } from '../../../helpers/temp.ts';

/** One started process and what it said so far. */
export interface Started {
  readonly process: SpawnedProcess;
  readonly lines: { line: string; truncated: boolean }[];
  bytes(): number;
}

export interface Bench {
  readonly dir: string;
  /** The fake CLI's journal. */
  readonly journal: string;
  readonly marker: string;
  readonly scanner: ProcScanner;
  /** Runs `sh -c script`. */
  sh(script: string, extra?: Partial<SpawnRequest>): Promise<Started>;
  /** Runs the fake CLI with this prompt; `env` reaches it too. */
  fake(prompt: string, extra?: Partial<SpawnRequest>): Promise<Started>;
}

/**
 * A folder, a marker and ways to start processes for the running test. When it is over, nothing that carries
 * the marker may be alive: what is left is killed and fails the test.
 */
export function bench(): Bench {
  const dir = tempDir();
  const journal = `${dir}/journal`;
  const marker = `test-${randomUUID()}/1`;
  const scanner = createProcScanner();
  onTestFinished(async () => {
    // One that was killed a moment ago may not be dead yet.
    await eventually(() => processesWithMarker(marker).length === 0, { timeoutMs: 1000 }).catch(() => {
      const left = processesWithMarker(marker);
      for (const pid of left) process.kill(pid, 'SIGKILL');
      expect(left, 'processes outlived the test').toEqual([]);
    });
  });

  const run = async (request: Pick<SpawnRequest, 'binary'> & Partial<SpawnRequest>): Promise<Started> => {
    const spawned = await spawnProcess({
      args: [],
      cwd: dir,
      stdin: '',
      marker,
      ...request,
      env: { PATH: '/usr/bin:/bin', ...request.env },
    });
    const lines: Started['lines'] = [];
    let bytes = 0;
    spawned.onOutput((count) => {
      bytes += count;
    });
    spawned.onLine((line, truncated) => lines.push({ line, truncated }));
    return { process: spawned, lines, bytes: () => bytes };
  };

  return {
    dir,
    journal,
    marker,
    scanner,
    sh: (script, extra = {}) => run({ binary: '/bin/sh', args: ['-c', script], ...extra }),
    fake: async (prompt, extra = {}) =>
      run({
        binary: await installFakeCli(`${dir}/bin`),
        stdin: prompt,
        ...extra,
        env: { FAKE_JOURNAL: journal, ...extra.env },
      }),
  };
}
