/**
 * What keeps a program from starting because it would not be safe. Each problem says what to do.
 */
import { isIP } from 'node:net';
import type { Problem } from '../errors.ts';
import { hostnameOf, isLoopback } from './hostnames.ts';
import type { Settings } from './schema.ts';
import { urlSecrets } from './secrets.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Values of examples and documents, in lower case and without signs. */
const KNOWN_SECRETS =
  /^(changeme.*|changeit|changethis.*|replaceme.*|your[a-z]*(secret|password|key)[a-z]*|(my|super|jwt|redis|test)?(secret|password)(key)?|admin|bullpen|default|example|foobared|redis|test)$/;

/** Secrets of the environment that are not in the table of settings. */
const SECRET_VARIABLES = ['REDIS_PASSWORD'];

/** `bullpen serve`, which other commands ask, or `bullpen executor`. */
export type Program = 'server' | 'executor';

/**
 * Problems of settings that are valid and not safe, or not enough for the program. They quote no
 * secret.
 */
export function unsafeSettings(settings: Settings, env: Environment, program: Program): Problem[] {
  const own = program === 'server' ? serverProblems(settings, env) : executorProblems(settings);
  return [...own, ...serviceSecretProblems(settings)];
}

function serverProblems(settings: Settings, env: Environment): Problem[] {
  return [
    ...unsafeAddress(settings),
    ...wrongProxies(settings),
    ...openRedis(settings, env),
    ...secretProblems(settings, env),
    ...weakSecret('jwtSecret (JWT_SECRET)', settings.jwtSecret),
    ...weakSecret('signingSecret (BULLPEN_SIGNING_SECRET)', settings.signingSecret),
    ...jwtProblems(settings),
    ...(settings.executor === 'http' ? remoteProblems(settings) : []),
  ];
}

/** Of a server whose CLIs run in an executor on another host. */
function remoteProblems(settings: Settings): Problem[] {
  const path = 'serviceUrl (CLAUDE_SERVICE_URL)';
  const url = URL.parse(settings.serviceUrl);
  const missing = [...missingSecret(settings, 'with BULLPEN_EXECUTOR=http'), ...jobTokenProblems(settings)];
  if (url === null) return [...missing, { path, message: 'is no address' }];
  if (url.protocol === 'https:' || settings.allowPlainHttp || isLoopback(url.hostname)) return missing;
  const message =
    'is plain HTTP, in which prompts can be read and answers, which are not signed, can be replaced; set an https:// address, or BULLPEN_ALLOW_PLAIN_HTTP=on if no one else can listen on the way, as in a network of containers';
  return [...missing, { path, message }];
}

/** A job on another host has no way to this server. */
function jobTokenProblems({ jobTokens }: Settings): Problem[] {
  if (!jobTokens) return [];
  const message =
    'is not possible with BULLPEN_EXECUTOR=http: jobs on another host get no tokens; leave it off';
  return [{ path: 'jobTokens (BULLPEN_JOB_TOKENS)', message }];
}

/** Of `bullpen executor`. It has no Redis and no callers with tokens. */
function executorProblems(settings: Settings): Problem[] {
  const missing = missingSecret(settings, 'by `bullpen executor`');
  if (settings.allowPlainHttp || isLoopback(hostnameOf(settings.serviceHost))) return missing;
  const message =
    'lets other machines in by plain HTTP, in which prompts and answers can be read; set CLAUDE_SERVICE_HOST to 127.0.0.1 and put a proxy that ends TLS in front of it, or BULLPEN_ALLOW_PLAIN_HTTP=on if no one else can listen on the way, as in a network of containers or behind such a proxy on another host';
  return [...missing, { path: 'serviceHost (CLAUDE_SERVICE_HOST)', message }];
}

const SERVICE_SECRET = 'serviceSecrets (CLAUDE_SERVICE_SECRET)';

function missingSecret({ serviceSecrets }: Settings, by: string): Problem[] {
  if (serviceSecrets.length > 0) return [];
  const message = `is needed ${by}: the secret of both sides, or CLAUDE_SERVICE_SECRET_FILE; make one with \`openssl rand -hex 32\``;
  return [{ path: SERVICE_SECRET, message }];
}

const MAX_SERVICE_SECRETS = 2;

function serviceSecretProblems({ serviceSecrets: secrets, serviceSecretFile }: Settings): Problem[] {
  const path = serviceSecretFile === null ? SERVICE_SECRET : 'serviceSecretFile (CLAUDE_SERVICE_SECRET_FILE)';
  if (secrets.length > MAX_SERVICE_SECRETS) {
    const message = `has ${secrets.length} secrets: it may have the new one and the one before it`;
    return [{ path, message }];
  }
  if (secrets.some(isKnown)) return [{ path, message: KNOWN }];
  return secrets.flatMap((secret) => weakSecret(path, secret)).slice(0, 1);
}

/** A token that crosses a network in plain HTTP can be read there. */
function unsafeAddress({ host, publicUrl, allowPlainHttp }: Settings): Problem[] {
  const path = 'publicUrl (BULLPEN_PUBLIC_URL)';
  const url = publicUrl === null ? null : URL.parse(publicUrl);
  if (publicUrl !== null && url === null) return [{ path, message: 'is no address' }];
  if (allowPlainHttp || url?.protocol === 'https:') return [];
  const otherwise =
    'or BULLPEN_ALLOW_PLAIN_HTTP=on if no one else can listen on the way, as in a container whose port is published on loopback';
  if (url !== null && !isLoopback(url.hostname)) {
    return [
      { path, message: `is plain HTTP, in which tokens can be read; set an https:// address, ${otherwise}` },
    ];
  }
  if (isLoopback(hostnameOf(host))) return [];
  const message = `lets other machines in by plain HTTP, in which tokens can be read; set BULLPEN_PUBLIC_URL to the https:// address of a proxy in front of it, BULLPEN_HOST to 127.0.0.1, ${otherwise}`;
  return [{ path: 'host (BULLPEN_HOST)', message }];
}

function wrongProxies({ trustProxy }: Settings): Problem[] {
  if (trustProxy.every(isNetwork)) return [];
  const message = 'must list addresses or networks of proxies, for example 127.0.0.1,10.0.0.0/8';
  return [{ path: 'trustProxy (BULLPEN_TRUST_PROXY)', message }];
}

/** Who can write to Redis can change jobs; who can listen on the way reads prompts and answers. */
function openRedis({ redisUrl, workerRedisUrl, allowInsecureRedis }: Settings, env: Environment): Problem[] {
  const problemsOf = (path: string, text: string | null): Problem[] => {
    const url = URL.parse(text ?? '');
    if (url === null || isLoopback(url.hostname)) return [];
    const wrong = [
      ...(url.password === '' && !env['REDIS_PASSWORD'] ? ['no password'] : []),
      ...(url.protocol === 'rediss:' ? [] : ['no TLS']),
    ];
    if (wrong.length === 0) return [];
    const message = `names a Redis on another machine with ${wrong.join(' and ')}; set rediss://USER:PASSWORD@HOST, or BULLPEN_ALLOW_INSECURE_REDIS=on if no one else can reach it or listen on the way, as in a network of containers`;
    return [{ path, message }];
  };
  if (allowInsecureRedis) return [];
  return [
    ...problemsOf('redisUrl (REDIS_URL)', redisUrl),
    ...problemsOf('workerRedisUrl (BULLPEN_WORKER_REDIS_URL)', workerRedisUrl),
  ];
}

/** An address, or a network like `10.0.0.0/8`. `/0` would believe every caller. */
function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  if (bits === undefined) return true;
  return /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

function secretProblems(settings: Settings, env: Environment): Problem[] {
  const { redisUrl, workerRedisUrl, jwtSecret, signingSecret } = settings;
  const secrets: [string, readonly string[]][] = [
    ['redisUrl (REDIS_URL)', urlSecrets(redisUrl ?? '')],
    ['workerRedisUrl (BULLPEN_WORKER_REDIS_URL)', urlSecrets(workerRedisUrl ?? '')],
    ['jwtSecret (JWT_SECRET)', [jwtSecret ?? '']],
    ['signingSecret (BULLPEN_SIGNING_SECRET)', [signingSecret ?? '']],
    ...SECRET_VARIABLES.map((name): [string, readonly string[]] => [name, [env[name] ?? '']]),
  ];
  return secrets.filter(([, values]) => values.some(isKnown)).map(([path]) => ({ path, message: KNOWN }));
}

const MIN_SECRET_BYTES = 32;
const MIN_SECRET_CHARACTERS = 8;

/** Who has one signature, as a JWT, can try secrets offline, and with the right one sign all. */
function weakSecret(path: string, secret: string | null): Problem[] {
  const make = 'make one with `openssl rand -hex 32`';
  if (secret === null || isKnown(secret)) return [];
  if (Buffer.byteLength(secret) < MIN_SECRET_BYTES)
    return [{ path, message: `has fewer than ${MIN_SECRET_BYTES} bytes; ${make}` }];
  if (new Set(secret).size >= MIN_SECRET_CHARACTERS) return [];
  return [{ path, message: `has fewer than ${MIN_SECRET_CHARACTERS} different characters; ${make}` }];
}

function jwtProblems({ jwtSecret, jwtKeys, jwtAudience }: Settings): Problem[] {
  const problems: Problem[] = [];
  if (jwtKeys === null) return problems;
  const keysPath = 'jwtKeys (BULLPEN_JWT_KEYS)';
  const url = jwtKeys.startsWith('/') ? null : URL.parse(jwtKeys);
  if (jwtSecret !== null) problems.push({ path: keysPath, message: 'and JWT_SECRET exclude each other' });
  if (!jwtKeys.startsWith('/') && url === null) problems.push({ path: keysPath, message: 'is no address' });
  if (url?.protocol === 'http:' && !isLoopback(url.hostname)) {
    problems.push({ path: keysPath, message: 'is plain HTTP, in which keys can be replaced; use https://' });
  }
  if (jwtAudience === null) {
    const message = `is needed with BULLPEN_JWT_KEYS: otherwise JWTs for other services are valid here`;
    problems.push({ path: 'jwtAudience (BULLPEN_JWT_AUDIENCE)', message });
  }
  return problems;
}

const KNOWN =
  'is a password of examples and documents, which attackers try first; make one with `openssl rand -hex 32`';

const isKnown = (secret: string): boolean =>
  KNOWN_SECRETS.test(secret.toLowerCase().replaceAll(/[^a-z0-9]/g, ''));
