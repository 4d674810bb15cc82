/** What this host knows of the CLIs: installed, their version, whether they are logged in. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import { type CliProbe, type StateFolders, withFolder } from '../executor/cli-probe.ts';
import type { CliReport } from '../protocol/server-info.ts';
import type { Login } from '../providers/provider.ts';
import type { RegisteredProvider } from '../providers/registry.ts';

export interface CliReportsOptions {
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  /** Default: of this machine. */
  readonly platform?: NodeJS.Platform;
}

/** @param known what jobs have shown of the login; null: nothing */
export type ReportCli = (one: RegisteredProvider, known: LoginState | null) => Promise<CliReport>;

/** Reports the CLI of a provider on this host. */
export function createCliReports(options: CliReportsOptions): ReportCli {
  const { probe, stateFolders, environment, platform = process.platform } = options;
  return async ({ provider, binary: configured }, known) => {
    const { name, login } = provider;
    const env = environment(name, {});
    try {
      const cli = await probe.find(provider, configured);
      const { binary } = cli;
      const cliEnv = withFolder(env, cli.extraFolder);
      const [version, state, unsaved] = await Promise.all([
        probe.version(provider, cli),
        known ??
          loginState({
            ...{ login, env },
            askCli: () => probe.loggedIn(provider, binary, cliEnv),
            mayHideLogin: platform === 'darwin',
          }),
        stateFolders.trouble(provider, env).catch(() => null), // not known during a shortage
      ]);
      const report = { name, available: true, version, binary, ...state };
      if (unsaved === null) return report;
      const writable = `${unsaved}; make it writable, or sessions cannot be resumed`;
      return { ...report, todo: state.todo === null ? writable : `${state.todo}; ${writable}` };
    } catch (error) {
      const todo = `install ${provider.binaries.join(' or ')}, or name it in the settings`;
      return missingCli(name, messageOf(error), todo);
    }
  };
}

export const missingCli = (name: string, why: string, todo: string): CliReport => ({
  ...{ name, available: false, version: null, binary: null, authenticated: 'unknown', why, todo },
});

/** Whether a CLI is logged in, as far as that is known without a job. */
export interface LoginState {
  readonly authenticated: 'yes' | 'no' | 'unknown';
  readonly why: string;
  /** What a person has to do; null: nothing is known to be missing. */
  readonly todo: string | null;
}

interface LoginSigns {
  readonly login: Login;
  /** The environment of the CLI's jobs. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether the CLI reports that it is logged in; null: it did not answer. */
  askCli(): Promise<boolean | null>;
  /** Whether a CLI may keep its login outside its files (the keychain of macOS). */
  readonly mayHideLogin: boolean;
}

const AT_FIRST_JOB = 'the first job shows whether the vendor accepts it';

/** What jobs have shown of a login; null: nothing. It is a stronger sign than what follows. */
export function shownByJobs(
  { hint }: Login,
  { isRefused, succeededAt }: { readonly isRefused: boolean; readonly succeededAt: number | null },
): LoginState | null {
  if (isRefused) return no('the vendor refused the login', hint);
  return succeededAt === null ? null : yes(`a job succeeded at ${new Date(succeededAt).toISOString()}`);
}

/**
 * Uses the strongest sign: a variable with a key, then the CLI's own answer, then a login file.
 * Checks that a secret exists, but does not read it.
 */
async function loginState(signs: LoginSigns): Promise<LoginState> {
  const { login, env, askCli, mayHideLogin } = signs;
  const variable = login.variables.find((name) => (env[name] ?? '') !== '');
  if (variable !== undefined) return unknown(`${variable} is set; ${AT_FIRST_JOB}`);
  if (login.statusArgs !== null) {
    const command = login.statusArgs.join(' ');
    const loggedIn = await askCli();
    if (loggedIn === null) return unknown(`the CLI did not answer \`${command}\``);
    return loggedIn
      ? yes(`the CLI says so (\`${command}\`)`)
      : no(`the CLI says no (\`${command}\`), and none of its variables is set`, login.hint);
  }
  const file = await loginFile(login, env);
  if (file !== null) return unknown(`there is a login in ${file}; ${AT_FIRST_JOB}`);
  if (login.variables.length === 0 && login.files.length === 0) return unknown('the first job will show it');
  const nothing = 'none of its variables is set, and there is no file with a login';
  return mayHideLogin
    ? unknown(`${nothing}; the keychain may hold one`, login.hint)
    : no(nothing, login.hint);
}

/** The first login file that exists and is not empty. */
async function loginFile({ files }: Login, env: LoginSigns['env']): Promise<string | null> {
  for (const { variable, home, name } of files) {
    const own = variable === null ? '' : (env[variable] ?? '');
    if (own === '' && (env['HOME'] ?? '') === '') continue;
    const path = own === '' ? join(env['HOME'] ?? '', home, name) : join(own, name);
    const found = await stat(path).catch(() => null); // missing, or not readable for this user
    if (found?.isFile() === true && found.size > 0) return path;
  }
  return null;
}

const yes = (why: string): LoginState => ({ authenticated: 'yes', why, todo: null });
const no = (why: string, todo: string): LoginState => ({ authenticated: 'no', why, todo });
const unknown = (why: string, todo: string | null = null): LoginState => ({
  authenticated: 'unknown',
  why,
  todo,
});
