/**
 * The real CLIs as a server of a test runs them: against the offline model, with logins that are
 * none.
 */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codexOfflineArgs } from '../../scripts/offline-model/codex-cases.ts';
import type { OfflineModel } from '../../scripts/offline-model/server.ts';

const pathOf = (bin: string): string =>
  [fileURLToPath(new URL(bin, import.meta.url)), process.env['PATH']].join(delimiter);
const CLAUDE_PATH = pathOf('../../node_modules/.bin');
/** Where the CLIs are that are too large for the root package: for the project `clis` alone. */
const CLIS_PATH = pathOf('../clis/node_modules/.bin');
/** The first program of this name. */
export function findInPath(name: string, path: string): string {
  const folder = path.split(delimiter).find((one) => existsSync(join(one, name)));
  if (folder === undefined) throw new Error(`there is no ${name} in ${path}`);
  return join(folder, name);
}

/** Root may only skip permissions where the operator says that it is a sandbox. */
const FULL_ACCESS = { BULLPEN_ALLOW_FULL_ACCESS: 'true', IS_SANDBOX: '1' };

export interface RealCli {
  readonly name: string;
  env(model: OfflineModel): Readonly<Record<string, string>>;
  /** Of bullpen.config.yaml. */
  config(model: OfflineModel): { readonly providers?: Readonly<Record<string, Record<string, unknown>>> };
  /** Files the CLI needs below HOME. */
  readonly homeFiles: Readonly<Record<string, string>>;
  /** The directive that makes the model call the CLI's shell tool. */
  tool(command: string): string;
}

export const CLAUDE: RealCli = {
  name: 'claude',
  env: (model) => ({
    PATH: CLAUDE_PATH,
    ...FULL_ACCESS,
    ANTHROPIC_BASE_URL: model.url,
    ANTHROPIC_API_KEY: 'offline',
  }),
  config: () => ({}),
  homeFiles: {},
  tool: (command) => `[[tool: Bash ${JSON.stringify({ command, description: 'Run a command' })}]]`,
};

export const CODEX: RealCli = {
  name: 'codex',
  env: () => ({ PATH: CLIS_PATH, ...FULL_ACCESS, CODEX_API_KEY: 'offline' }),
  config: (model) => ({
    providers: { codex: { args: codexOfflineArgs(model.url), model: 'offline-model' } },
  }),
  homeFiles: {},
  tool: (cmd) => `[[tool: exec_command ${JSON.stringify({ cmd })}]]`,
};

/** codex by its control protocol. */
export const CODEX_APP_SERVER: RealCli = {
  ...CODEX,
  config: (model) => {
    const codex = CODEX.config(model).providers?.['codex'];
    return { providers: { codex: { ...codex, transport: 'app-server' } } };
  },
};

export const GEMINI: RealCli = {
  name: 'gemini',
  env: (model) => ({
    PATH: CLIS_PATH,
    ...FULL_ACCESS,
    GOOGLE_GEMINI_BASE_URL: model.url,
    GEMINI_API_KEY: 'offline',
    BULLPEN_PASS_ENV: 'NODE_COMPILE_CACHE', // it starts with four fifths of the CPU time
    NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
  }),
  config: () => ({ providers: { gemini: { model: 'gemini-2.5-flash' } } }),
  homeFiles: {
    // A base URL makes it ask for a gateway's login, unless its settings say that there is a key.
    '.gemini/settings.json': JSON.stringify({
      security: { auth: { selectedType: 'gemini-api-key' }, folderTrust: { enabled: false } },
      general: { maxAttempts: 1 }, // its own retries take minutes
    }),
  },
  tool: (command) => `[[tool: run_shell_command ${JSON.stringify({ command, description: 'Run it' })}]]`,
};
