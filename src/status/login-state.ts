/** What can be told of a CLI's login without running a job. Nothing secret is read: only whether it is there. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CircuitView } from '../limits/circuits.ts';
import type { Login } from '../providers/provider.ts';

export interface LoginState {
  readonly authenticated: 'yes' | 'no' | 'unknown';
  readonly why: string;
  /** What a person has to do; null: nothing known. */
  readonly todo: string | null;
}

export interface LoginSigns {
  readonly login: Login;
  /** The environment of its jobs. */
  readonly env: Readonly<Record<string, string>>;
  /** What became of its jobs since the server started. */
  readonly seen: Pick<CircuitView, 'refusedAt' | 'succeededAt'>;
  /** Whether the CLI itself says so; null: it does not tell. */
  askCli(): Promise<boolean | null>;
  /** Whether a CLI may keep its login where no file shows it (the keychain of macOS). */
  readonly mayHideLogin: boolean;
}

const AT_FIRST_JOB = 'whether the vendor takes it shows with the first job';

/** The strongest sign counts: what became of a job, then a key that is set, then the CLI's own word, then files. */
export async function loginState({
  login,
  env,
  seen,
  askCli,
  mayHideLogin,
}: LoginSigns): Promise<LoginState> {
  const { refusedAt, succeededAt } = seen;
  if (refusedAt !== null && refusedAt >= (succeededAt ?? 0)) {
    return no(`the vendor refused the login at ${iso(refusedAt)}`, login.hint);
  }
  if (succeededAt !== null) return yes(`a job succeeded at ${iso(succeededAt)}`);
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
  if (login.variables.length === 0 && login.files.length === 0) return unknown('shows with the first job');
  const nothing = 'none of its variables is set, and there is no file with a login';
  return mayHideLogin
    ? unknown(`${nothing}; the keychain may hold one`, login.hint)
    : no(nothing, login.hint);
}

/** The first of the files that is there and not empty. */
async function loginFile({ files }: Login, env: LoginSigns['env']): Promise<string | null> {
  for (const { variable, home, name } of files) {
    const own = variable === null ? '' : (env[variable] ?? '');
    if (own === '' && (env['HOME'] ?? '') === '') continue;
    const path = own === '' ? join(env['HOME'] ?? '', home, name) : join(own, name);
    const found = await stat(path).catch(() => null); // not there, or not ours to see
    if (found?.isFile() === true && found.size > 0) return path;
  }
  return null;
}

const iso = (ms: number): string => new Date(ms).toISOString();
const yes = (why: string): LoginState => ({ authenticated: 'yes', why, todo: null });
const no = (why: string, todo: string): LoginState => ({ authenticated: 'no', why, todo });
const unknown = (why: string, todo: string | null = null): LoginState => ({
  authenticated: 'unknown',
  why,
  todo,
});
