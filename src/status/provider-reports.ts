import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import { type CliProbe, type StateFolders, withFolder } from '../executor/cli-probe.ts';
import type { Executor } from '../executor/executor.ts';
import type { Credentials } from '../limits/credentials.ts';
import type { CredentialReport, ProviderReport } from '../protocol/server-info.ts';
import type { Login } from '../providers/provider.ts';
import type { Providers, RegisteredProvider } from '../providers/registry.ts';

export interface ProviderReportsOptions {
  readonly providers: Providers;
  readonly probe: CliProbe;
  readonly stateFolders: StateFolders;
  readonly credentials: Pick<Credentials, 'names' | 'reports' | 'succeededAt'>;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  readonly executor: Pick<Executor, 'runningOf'>;
  /** Default: of this machine. */
  readonly platform?: NodeJS.Platform;
}

/**
 * Reports each provider: its CLI and version, whether it is logged in, and what a person has to do.
 */
export function createProviderReports(
  options: ProviderReportsOptions,
): () => Promise<readonly ProviderReport[]> {
  const {
    providers,
    probe,
    stateFolders,
    credentials,
    environment,
    executor,
    platform = process.platform,
  } = options;

  async function report(
    { provider, binary: configured, defaults, fallback }: RegisteredProvider,
    found: readonly CredentialReport[],
  ): Promise<ProviderReport> {
    const { name, login, capabilities } = provider;
    const env = environment(name, {});
    const own = found.find((one) => one.name === credentials.names()[name]);
    const base = {
      name,
      credentials: [...found],
      running: executor.runningOf(name),
      concurrency: defaults.concurrency,
      fallback,
      capabilities: { ...capabilities },
    };
    try {
      const cli = await probe.find(provider, configured);
      const { binary } = cli;
      const cliEnv = withFolder(env, cli.extraFolder);
      const [version, state, unsaved] = await Promise.all([
        probe.version(provider, cli),
        loginState({
          login,
          env,
          isRefused: own?.status === 'refused',
          succeededAt: credentials.succeededAt(name),
          askCli: () => probe.loggedIn(provider, binary, cliEnv),
          mayHideLogin: platform === 'darwin',
        }),
        stateFolders.trouble(provider, env),
      ]);
      const report = { ...base, available: true, version, binary, ...state };
      if (unsaved === null) return report;
      const writable = `${unsaved}; make it writable, or sessions cannot be resumed`;
      return { ...report, todo: state.todo === null ? writable : `${state.todo}; ${writable}` };
    } catch (error) {
      const why = messageOf(error);
      const missing = { available: false, version: null, binary: null, authenticated: 'unknown' } as const;
      return {
        ...base,
        ...missing,
        why,
        todo: `install ${provider.binaries.join(' or ')}, or name it in the settings`,
      };
    }
  }

  return async () => {
    const found = await credentials.reports();
    return Promise.all(providers.list().map((one) => report(one, found.get(one.provider.name) ?? [])));
  };
}

/** Whether a CLI is logged in, as far as that is known without a job. */
interface LoginState {
  readonly authenticated: 'yes' | 'no' | 'unknown';
  readonly why: string;
  /** What a person has to do; null: nothing is known to be missing. */
  readonly todo: string | null;
}

interface LoginSigns {
  readonly login: Login;
  /** The environment of the CLI's jobs. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether the vendor refused it last. */
  readonly isRefused: boolean;
  /** The last success of its jobs since the server started (ms); null: there was none. */
  readonly succeededAt: number | null;
  /** Whether the CLI reports that it is logged in; null: it did not answer. */
  askCli(): Promise<boolean | null>;
  /** Whether a CLI may keep its login outside its files (the keychain of macOS). */
  readonly mayHideLogin: boolean;
}

const AT_FIRST_JOB = 'the first job shows whether the vendor accepts it';

/**
 * Uses the strongest sign: the result of a job, then a variable with a key, then the CLI's own
 * answer, then a login file. Checks that a secret exists, but does not read it.
 */
async function loginState(signs: LoginSigns): Promise<LoginState> {
  const { login, env, isRefused, succeededAt, askCli, mayHideLogin } = signs;
  if (isRefused) return no('the vendor refused the login', login.hint);
  if (succeededAt !== null) return yes(`a job succeeded at ${new Date(succeededAt).toISOString()}`);
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
