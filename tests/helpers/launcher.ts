import { pino } from 'pino';
import type { Launch } from '../../src/processes/launch.ts';
import { createLauncher } from '../../src/processes/launcher.ts';
import { sharedByHelper, whenOver } from './shared.ts';
import { makeTempDir, removeDir } from './temp.ts';

const launcherOfFile = sharedByHelper(async () => {
  const dir = makeTempDir();
  whenOver(() => removeDir(dir));
  const launcher = createLauncher({ dir, logger: pino({ enabled: false }) });
  await launcher.start();
  whenOver(() => launcher.stop());
  return launcher;
});

/** Launches by the launcher of this test file, which starts with its first use. */
export const launch: Launch = async (request, stop) => (await launcherOfFile()).launch(request, stop);
