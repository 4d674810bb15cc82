/** Which variables a CLI may see. An allow-list: the server's secrets are not on it (tests: sE1, sE3). */

/** Names every CLI may see. A trailing `*` stands for any ending. */
const BASE_NAMES = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'TZ',
  'TMPDIR',
  'TERM',
  'LC_*',
  'XDG_*',
];

/**
 * Names no setting can let through, in any case: what makes a loader, a shell or an interpreter run other
 * code, and this server's own settings and secrets.
 */
const DENIED_NAMES = [
  'LD_*',
  'DYLD_*',
  'GCONV_PATH',
  'GLIBC_TUNABLES',
  'NODE_OPTIONS',
  'NODE_PATH',
  'BUN_OPTIONS',
  'BASH_ENV',
  'BASH_FUNC_*',
  'ENV',
  'SHELLOPTS',
  'BASHOPTS',
  'PROMPT_COMMAND',
  'PS4',
  'PYTHONSTARTUP',
  'PERL5OPT',
  'RUBYOPT',
  'JAVA_TOOL_OPTIONS',
  'BULLPEN_*',
  'REDIS_*',
  'REDISCLI_AUTH',
  'JWT_SECRET',
  'HMAC_SECRET',
];

const covers = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** Whether no setting can let this variable through to a CLI. */
export function isDeniedName(name: string): boolean {
  const upper = name.toUpperCase();
  return DENIED_NAMES.some((pattern) => covers(pattern, upper));
}

export interface EnvironmentInput {
  /** Usually the server's own environment. */
  readonly source: Readonly<Record<string, string | undefined>>;
  /** Names beside the base ones: the provider's `envNames` and the settings' `passEnv`. Exact, no wildcards. */
  readonly names: readonly string[];
  /** Set over everything, unchecked: only the server's own code decides it, never a job. */
  readonly set: Readonly<Record<string, string>>;
}

/** The whole environment of a CLI. Pure: reads nothing but its argument. */
export function buildEnvironment({ source, names, set }: EnvironmentInput): Record<string, string> {
  const wanted = new Set(names);
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(source)) {
    if (value === undefined || isDeniedName(name)) continue;
    if (wanted.has(name) || BASE_NAMES.some((pattern) => covers(pattern, name))) environment[name] = value;
  }
  return { ...environment, ...set };
}

/**
 * The environment of each provider's CLI, its allow-listed part worked out once.
 * @param passEnv more names the settings let through
 */
export function createProviderEnvironments(
  source: Readonly<Record<string, string | undefined>>,
  providers: { get(name: string): { readonly provider: { readonly envNames: readonly string[] } } },
  passEnv: readonly string[],
): (provider: string, set: Readonly<Record<string, string>>) => Record<string, string> {
  const allowed = new Map<string, Record<string, string>>();
  return (name, set) => {
    let base = allowed.get(name);
    if (base === undefined) {
      base = buildEnvironment({
        source,
        names: [...providers.get(name).provider.envNames, ...passEnv],
        set: {},
      });
      allowed.set(name, base);
    }
    return { ...base, ...set };
  };
}
