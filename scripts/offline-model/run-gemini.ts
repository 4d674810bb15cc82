/** Runs the real gemini CLI against the offline model, for contract tests and for recordings. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CliCommand, type CliHome, type CliRun, makeCliHome, runCli } from './run-cli.ts';

const GEMINI = fileURLToPath(new URL('../../tests/clis/node_modules/.bin/gemini', import.meta.url));

/** What every command line begins with. */
export const GEMINI_ARGS: readonly string[] = ['--output-format=stream-json', '--skip-trust'];

/** The user's settings: a key is the login, and a refused call is not tried again. */
const SETTINGS = {
  security: { auth: { selectedType: 'gemini-api-key' } },
  general: { maxAttempts: 1, enableAutoUpdate: false, enableAutoUpdateNotification: false },
  privacy: { usageStatisticsEnabled: false },
};

/** What a run is given. Nothing else of this process's environment reaches the CLI but PATH. */
export interface GeminiOptions extends Pick<CliCommand, 'prompt'> {
  readonly baseUrl: string;
  readonly home: CliHome;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly endAt?: CliCommand['endAt'];
}

/** Makes an empty home with a workspace and with the user's settings, and these more. */
export async function makeGeminiHome(settings: Readonly<Record<string, unknown>> = {}): Promise<CliHome> {
  const made = await makeCliHome();
  await mkdir(join(made.home, '.gemini'));
  const file = join(made.home, '.gemini', 'settings.json');
  await writeFile(file, JSON.stringify({ ...SETTINGS, ...settings }));
  return made;
}

/**
 * Runs `gemini` to its end. A run that outlives 50 s is killed with its process group and rejects.
 *
 * Sometimes gemini 0.61.0 exits without removing the lock of its list of projects; the next one
 * then waits for it silently, for 13 s to more than 51 s. No other run uses `home`, so a lock there
 * is such a leftover.
 */
export async function runGemini({ baseUrl, home, prompt, args, env, endAt }: GeminiOptions): Promise<CliRun> {
  await rm(join(home.home, '.gemini', 'projects.json.lock'), { recursive: true, force: true });
  return runCli({
    binary: GEMINI,
    args,
    env: {
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], // it starts with four fifths of the CPU time
      HOME: home.home,
      TMPDIR: home.home, // it leaves a report there of every call that fails
      GOOGLE_GEMINI_BASE_URL: baseUrl,
      GEMINI_API_KEY: 'offline',
      GEMINI_CLI_NO_RELAUNCH: 'true',
      NO_COLOR: '1',
      ...env,
    },
    cwd: home.workspace,
    prompt,
    ...(endAt === undefined ? {} : { endAt }),
  });
}
