import { pino } from 'pino';
import { afterAll } from 'vitest';
import type { Launch } from '../../src/processes/launch.ts';
import { createLauncher, type Launcher } from '../../src/processes/launcher.ts';
import { makeTempDir, removeDir } from './temp.ts';

let running: Promise<{ launcher: Launcher; dir: string }> | null = null;

/** Launches by the launcher of this test file, which starts with its first use. */
export const launch: Launch = async (request, stop) => {
  running ??= start();
  const { launcher } = await running;
  return launcher.launch(request, stop);
};

async function start() {
  const dir = makeTempDir();
  const launcher = createLauncher({ dir, logger: pino({ enabled: false }) });
  await launcher.start();
  return { launcher, dir };
}

afterAll(async () => {
  if (running === null) return;
  const { launcher, dir } = await running;
  running = null;
  await launcher.stop();
  removeDir(dir);
});
