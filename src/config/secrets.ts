import type { Settings } from './schema.ts';

/** Words in the name of a variable or an argument whose value is a secret. */
const SECRET_WORDS =
  /(?:^|[_-])(?:[A-Z0-9]*(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY)|KEY|PASS|AUTH|BEARER|CREDENTIALS?)(?:[_-]|$)|_PWD$/i;
/** Names that have such a word, and whose value is a place, a switch or a number. */
const NO_SECRETS =
  /(?:^|[_-])(?:FILE|PATH|DIR|FOLDER|SOCK|HOME|URL|URI|HOST|COMMAND|HELPER|TTL|MS|SECONDS|EXPIRES|LIMIT|MODE|TYPE)$/i;
/** Names of files by custom. */
const FILES = ['GOOGLE_APPLICATION_CREDENTIALS', 'GIT_ASKPASS', 'SSH_ASKPASS', 'SUDO_ASKPASS'];

/** Variables with HTTP headers, which most often log in: `ANTHROPIC_CUSTOM_HEADERS`. */
const HEADERS = /(?:^|_)HEADERS$/i;

const isSecretName = (name: string): boolean =>
  SECRET_WORDS.test(name) && !NO_SECRETS.test(name) && !FILES.includes(name);

/**
 * The secrets that the server was given: the values of its variables with a secret's name, the
 * secrets of JWTs, records and the executor, the headers and the passwords of URLs in its variables
 * and settings, and the secret arguments of its providers.
 */
export function secretsOf(
  settings: Pick<
    Settings,
    'redisUrl' | 'workerRedisUrl' | 'jwtSecret' | 'signingSecret' | 'serviceSecrets' | 'providers'
  >,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const secrets: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (isSecretName(name)) secrets.push(value);
    if (HEADERS.test(name)) secrets.push(...headerSecrets(value));
    secrets.push(...urlSecrets(value));
  }
  for (const secret of [settings.jwtSecret, settings.signingSecret, ...settings.serviceSecrets])
    if (secret !== null) secrets.push(secret);
  for (const url of [settings.redisUrl, settings.workerRedisUrl]) secrets.push(...urlSecrets(url ?? ''));
  const { custom, ...builtIn } = settings.providers;
  for (const { args } of [...Object.values(builtIn), ...Object.values(custom)]) {
    secrets.push(...argumentSecrets(args));
  }
  return secrets;
}

/** The password of a URL, as it is written and decoded. */
export function urlSecrets(url: string): readonly string[] {
  const written = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@]*?:([^/?#]+)@/i.exec(url)?.[1];
  if (written === undefined) return [];
  try {
    return [written, decodeURIComponent(written)];
  } catch {
    return [written];
  }
}

/** Values of `Name: VALUE`, one a line, and of `name=VALUE,…`, without `Bearer` or `Basic`. */
const headerSecrets = (headers: string): readonly string[] =>
  headers.split(/[\n,]/).flatMap((header) => {
    const value = /^[^:=]*[:=]\s*(?:(?:Bearer|Basic)\s+)?(.+)$/i.exec(header)?.[1];
    return value === undefined ? [] : [value];
  });

/** Values of `--api-key=VALUE` and `--api-key VALUE`. */
function argumentSecrets(args: readonly string[]): readonly string[] {
  return args.flatMap((arg, index) => {
    const [name = '', value] = arg.split(/=(.*)/s, 2);
    if (!name.startsWith('-') || !isSecretName(name)) return urlSecrets(value ?? arg);
    return [value ?? args[index + 1] ?? ''];
  });
}
