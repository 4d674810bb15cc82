import { existsSync } from 'node:fs';
import { join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that are a login, or say where one comes from. */
const VARIABLES = [
  'ANTHROPIC_API_KEY',
  'CLAUDE_CODE_OAUTH_TOKEN',
  'ANTHROPIC_AUTH_TOKEN',
  'AWS_BEARER_TOKEN_BEDROCK',
  'CLAUDE_CODE_USE_BEDROCK',
  'CLAUDE_CODE_USE_VERTEX',
];

/** Where claude has its login from: a variable's name or a file's path; null when there is none. */
export function findClaudeLogin(env: Environment, home: string): string | null {
  const variable = VARIABLES.find((name) => (env[name] ?? '') !== '');
  if (variable !== undefined) return variable;
  const file = join(env['CLAUDE_CONFIG_DIR'] || join(home, '.claude'), '.credentials.json');
  return existsSync(file) ? file : null;
}

/** Settings of the demo's server: the user's own settings must not change the demo. */
const isOurs = (name: string): boolean =>
  (name.startsWith('BULLPEN_') && name !== 'BULLPEN_CACHE') || ['REDIS_URL', 'PORT', 'HOST'].includes(name);

/** The environment for a demo with the real model. */
export function realEnvironment(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isOurs(name)));
}

/**
 * What a demo without an account keeps of the environment: no login, no proxy, no other address of
 * the model.
 */
const NEUTRAL = ['PATH', 'HOME', 'LANG', 'TZ', 'TERM', 'TMPDIR', 'XDG_CACHE_HOME', 'BULLPEN_CACHE'];

/** The environment for a demo with the offline model. */
export function offlineEnvironment(env: Environment, modelUrl: string, configDir: string): Environment {
  return {
    ...Object.fromEntries(NEUTRAL.map((name) => [name, env[name]])),
    ANTHROPIC_BASE_URL: modelUrl,
    ANTHROPIC_API_KEY: 'offline',
    CLAUDE_CONFIG_DIR: configDir,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_TELEMETRY: '1',
    DISABLE_AUTOUPDATER: '1',
  };
}
