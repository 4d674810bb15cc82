import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, expect, onTestFinished } from 'vitest';
import type { Launch } from '../../../src/processes/launch.ts';
import { createLauncher, type Launcher } from '../../../src/processes/launcher.ts';
import { createProcScanner, type ProcScanner } from '../../../src/processes/proc-scanner.ts';
import { type SpawnRequest, spawnProcess } from '../../../src/processes/spawn.ts';
import type { SpawnedProcess } from '../../../src/processes/spawned-process.ts';
import { eventually } from '../../helpers/eventually.ts';
import { installFakeCli } from '../../helpers/fake-cli.ts';
import { processesWithMarker } from '../../helpers/proc.ts';
import { makeTempDir, removeDir, tempDir } from '../../helpers/temp.ts';

/** One started process and what it said so far. */
export interface Started {
  readonly process: SpawnedProcess;
  readonly lines: { line: string; cut: ReadonlySet<string> | null }[];
  bytes(): number;
}

/** What a test changes of the request, and how it is launched: by a launcher, as in a server, if not said. */
export type Extra = Partial<SpawnRequest> & { readonly launch?: Launch };

let launcher: Launcher | null = null;
let launcherDir = '';

/** The launcher of this test file. */
async function sharedLaunch(): Promise<Launch> {
  if (launcher === null) {
    launcherDir = makeTempDir();
    launcher = createLauncher({ dir: launcherDir, logger: pino({ enabled: false }) });
    await launcher.start();
  }
  return launcher.launch;
}

afterAll(async () => {
  await launcher?.stop();
  if (launcherDir !== '') removeDir(launcherDir);
});

export interface Bench {
  readonly dir: string;
  /** The fake CLI's journal. */
  readonly journal: string;
  readonly marker: string;
  readonly scanner: ProcScanner;
  /** Runs `sh -c script`. */
  sh(script: string, extra?: Extra): Promise<Started>;
  /** Runs the fake CLI with this prompt; `env` reaches it too. */
  fake(prompt: string, extra?: Extra): Promise<Started>;
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

  const run = async (request: Pick<SpawnRequest, 'binary'> & Extra): Promise<Started> => {
    const { launch = await sharedLaunch(), ...rest } = request;
    const spawned = await spawnProcess(
      { args: [], cwd: dir, stdin: '', marker, ...rest, env: { PATH: '/usr/bin:/bin', ...rest.env } },
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
