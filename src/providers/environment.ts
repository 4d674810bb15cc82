/**
 * Which variables a CLI may see: an allow-list, so that the server's secrets stay with the server.
 */

/** Names every CLI may see. A trailing `*` matches any ending. */
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

/** Proxies, for a provider's `envNames`. */
export const PROXY_NAMES: readonly string[] = [
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'ALL_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'all_proxy',
];

/** Certificates the CLI trusts, for a provider's `envNames`. */
export const CERTIFICATE_NAMES: readonly string[] = ['SSL_CERT_FILE', 'SSL_CERT_DIR'];

/** The same for a CLI that is a Node program. */
export const NODE_CERTIFICATE_NAMES: readonly string[] = ['NODE_EXTRA_CA_CERTS', ...CERTIFICATE_NAMES];

/**
 * Names that no setting can let through, in upper or lower case: variables that make a loader, a
 * shell or an interpreter run other code, and this server's own settings and secrets.
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
  'CLAUDE_SERVICE_*',
];

const covers = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** Whether a CLI never sees this variable, with any settings. */
export function isDeniedName(name: string): boolean {
  const upper = name.toUpperCase();
  return DENIED_NAMES.some((pattern) => covers(pattern, upper));
}

export interface EnvironmentInput {
  /** Usually the server's own environment. */
  readonly source: Readonly<Record<string, string | undefined>>;
  /**
   * More names: the provider's `envNames` and the settings' `passEnv`. Exact, without wildcards.
   */
  readonly names: readonly string[];
  /** Set last and unchecked. Only the server's own code chooses these, never a job. */
  readonly set: Readonly<Record<string, string>>;
}

/** The whole environment of a CLI. Pure. */
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
 * The environment of each provider's CLI. The allow-listed part is computed once per provider.
 * @param passEnv more names that the settings let through
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
