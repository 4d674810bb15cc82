/** The settings in force, as an admin may see them: with where they come from, without secrets. */
import type { SettingInForce } from '../protocol/server-info.ts';
import { REDACTED } from '../redactor.ts';
import { type Environment, givenIn } from './load.ts';
import { FILE_SETTINGS, SETTINGS, type Settings } from './schema.ts';
import { secretsOf } from './secrets.ts';

/** Settings that are secrets as a whole. */
const SECRET: ReadonlySet<string> = new Set<keyof Settings>(['jwtSecret', 'signingSecret', 'serviceSecrets']);

/** By name. @param cwd where the server was started */
export function settingsInForce(
  settings: Settings,
  env: Environment,
  cwd: string,
): readonly SettingInForce[] {
  const { variables, file } = givenIn(env, cwd);
  const secrets = secretsOf(settings, env).filter((secret) => secret !== '');
  const names = [...Object.keys(SETTINGS), ...Object.keys(FILE_SETTINGS)].sort();
  return names.map((name) => {
    const value = settings[name as keyof Settings]; // the names of both tables
    const isSet = Array.isArray(value) ? value.length > 0 : value !== null;
    return {
      name,
      variable: variableOf(name),
      value: SECRET.has(name) ? (isSet ? REDACTED : null) : masked(value, secrets),
      source: variables.has(name) ? 'environment' : file.has(name) ? 'file' : 'default',
    };
  });
}

const variableOf = (name: string): string | null => {
  const schema = (SETTINGS as Readonly<Record<string, object>>)[name]; // a name of either table
  return schema !== undefined && 'env' in schema ? String(schema.env) : null;
};

/** The value without secrets: whole texts, arguments like `--key=SECRET`, and parts of URLs. */
function masked(value: unknown, secrets: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((one) => masked(one, secrets));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, masked(one, secrets)]));
  if (typeof value !== 'string') return value;
  if (secrets.includes(value)) return REDACTED;
  const ending = secrets.find((secret) => value.endsWith(`=${secret}`));
  if (ending !== undefined) return `${value.slice(0, -ending.length)}${REDACTED}`;
  return value.replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#@]*?):[^/?#]+@/i, `$1:${REDACTED}@`);
}
