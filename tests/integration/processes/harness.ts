import { randomUUID } from 'node:crypto';
import { expect, onTestFinished } from 'vitest';
import type { Launch } from '../../../src/processes/launch.ts';
import { createProcScanner, type ProcScanner } from '../../../src/processes/proc-scanner.ts';
import { type SpawnRequest, spawnProcess } from '../../../src/processes/spawn.ts';
import type { SpawnedProcess } from '../../../src/processes/spawned-process.ts';
import { eventually } from '../../helpers/eventually.ts';
import { installFakeCli } from '../../helpers/fake-cli.ts';
import { launch as sharedLaunch } from '../../helpers/launcher.ts';
import { processesWithMarker } from '../../helpers/proc.ts';
import { tempDir } from '../../helpers/temp.ts';

const MEGABYTE = 1024 * 1024;
/** What a test does not set. */
export const DEFAULTS = {
  args: [],
  stdin: '',
  holdStdin: false,
  maxLineBytes: MEGABYTE,
  maxTextBytes: MEGABYTE,
} as const;

/** One started process and its lines so far. */
export interface Started {
  readonly process: SpawnedProcess;
  readonly lines: { line: string; cut: ReadonlySet<string> | null }[];
  bytes(): number;
}

/** Changes to the request. `launch` is the launcher of the test file by default. */
export type Extra = Partial<SpawnRequest> & { readonly launch?: Launch };

export interface Bench {
  readonly dir: string;
  /** The fake CLI's journal. */
  readonly journal: string;
  readonly marker: string;
  readonly scanner: ProcScanner;
  /** Runs `sh -c script`. */
  sh(script: string, extra?: Extra): Promise<Started>;
  /** Runs the fake CLI with this prompt. */
  fake(prompt: string, extra?: Extra): Promise<Started>;
}

/**
 * A folder, a marker and ways to start processes for the running test. A process with the marker
 * that is alive after the test is killed and fails the test.
 */
export function bench(): Bench {
  const dir = tempDir();
  const journal = `${dir}/journal`;
  const marker = `test-${randomUUID()}/1`;
  const scanner = createProcScanner();
  onTestFinished(async () => {
    // A killed process may need a moment to die.
    await eventually(() => processesWithMarker(marker).length === 0, { timeoutMs: 10_000 }).catch(() => {
      const left = processesWithMarker(marker);
      for (const pid of left) process.kill(pid, 'SIGKILL');
      expect(left, 'processes outlived the test').toEqual([]);
    });
  });

  const run = async (request: Pick<SpawnRequest, 'binary'> & Extra): Promise<Started> => {
    const { launch = sharedLaunch, ...rest } = request;
    const spawned = await spawnProcess(
      { ...DEFAULTS, cwd: dir, marker, ...rest, env: { PATH: '/usr/bin:/bin', ...rest.env } },
      launch,
    );
    const lines: Started['lines'] = [];
    let bytes = 0;
    spawned.onOutput((count) => {
      bytes += count;
    });
    spawned.onLine((line, cut) => lines.push({ line, cut }));
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
