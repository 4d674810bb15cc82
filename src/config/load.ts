/**
 * Loads the settings from the environment and the file. Reports all problems at once and never
 * quotes a secret.
 */
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { Type } from '#typebox';
import { Value } from '#typebox/value';
import { AppError, messageOf, type Problem } from '../errors.ts';
import { PROCESS_LIMITS, ProcessLimits } from '../protocol/provider-settings.ts';
import {
  readArrangement,
  readProcessLimits,
  readProviders,
  settingsOfLimits,
  withPassword,
} from './former-names.ts';
import { readOwnFile, readSecretFile } from './own-file.ts';
import { configFile, userFolder } from './places.ts';
import { type Program, unsafeSettings } from './safe-start.ts';
import { FILE_SETTINGS, SETTINGS, Settings } from './schema.ts';
import { inWords } from './setting-kinds.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

interface Described {
  readonly env: string;
  readonly formerEnv?: string;
  readonly type?: string;
  readonly anyOf?: readonly { readonly type?: string }[];
}

// as: TypeBox keeps custom keywords on the schema but not in its type.
const describedSettings = Object.entries(SETTINGS) as unknown as [keyof typeof SETTINGS, Described][];

/**
 * Converts a variable's text to the setting's type. Text that does not fit stays text, and the
 * check reports it.
 */
function fromText(setting: Described, value: string): unknown {
  const type = setting.type ?? setting.anyOf?.find((one) => one.type !== 'null')?.type;
  if (type === 'array')
    return value
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean);
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  if (type === 'boolean')
    return { true: true, on: true, '1': true, false: false, off: false, '0': false }[value] ?? value;
  return value;
}

/** Loaded for a file only, because most servers have none. */
const yaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml');

function readFile(env: Environment, cwd: string, problems: Problem[]): Record<string, unknown> {
  const { path: file, named } = configFile(env, cwd);
  let text: string;
  try {
    text = readOwnFile(file);
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!missing || named) problems.push({ path: file, message: messageOf(error) });
    return {};
  }
  // The parser's own messages quote the file, which may hold a password, so only line and code are
  // reported.
  const { LineCounter, parseDocument } = yaml();
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false });
  const [error] = [...document.errors, ...document.warnings];
  if (error !== undefined) {
    const { line, col } = lineCounter.linePos(error.pos[0]);
    problems.push({
      path: file,
      message: `is not valid YAML at line ${line}, column ${col} (${error.code})`,
    });
    return {};
  }
  let content: unknown;
  try {
    content = document.toJS() ?? {};
  } catch {
    problems.push({ path: file, message: 'has an alias without its anchor, or too many of them' });
    return {};
  }
  if (typeof content === 'object' && !Array.isArray(content))
    return resolveFolders({ ...content }, dirname(file));
  problems.push({ path: file, message: 'must hold a mapping of settings' });
  return {};
}

/**
 * Settings that name folders or files. They may be relative to the folder of the settings file, or
 * in a variable to the server's folder.
 */
const FOLDERS = ['home', 'databasePath', 'cacheDir', 'cwd', 'roots', 'trustedRoots', 'serviceSecretFile'];

function resolveFolders(values: Record<string, unknown>, base: string): Record<string, unknown> {
  const absolute = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(absolute);
    return typeof value === 'string' && value !== '' ? resolve(base, value) : value;
  };
  for (const name of FOLDERS) if (values[name] !== undefined) values[name] = absolute(values[name]);
  return values;
}

function setDefaultFolders(values: Record<string, unknown>, env: Environment, cwd: string): void {
  values['home'] ??= join(userFolder(env, 'XDG_STATE_HOME', '.local/state'), 'bullpen');
  values['cacheDir'] ??= join(userFolder(env, 'XDG_CACHE_HOME', '.cache'), 'bullpen');
  values['cwd'] ??= cwd;
  const { roots } = values;
  if (roots === undefined || (Array.isArray(roots) && roots.length === 0)) values['roots'] = [values['cwd']];
}

/** Completes the block of limits. Its values go to the settings that are not set on their own. */
function setProcessLimits(values: Record<string, unknown>): void {
  const block = values['processLimits'] ?? null;
  if (block === null) return;
  const complete = Value.Default(Type.Object(PROCESS_LIMITS), block);
  values['processLimits'] = complete;
  if (!Value.Check(ProcessLimits, complete) || complete === null) return; // the check reports it
  for (const [name, value] of Object.entries(settingsOfLimits(complete)))
    if (values[name] === undefined) values[name] = value;
}

/** The value of a variable's former name. Empty: none. */
const formerValue = (name: string, value = '', problems: Problem[]): string | undefined =>
  name === 'executor' && value !== '' ? readArrangement(value, problems) : value;

function givenValues(env: Environment, cwd: string, problems: Problem[]): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [name, setting] of describedSettings) {
    const value = env[setting.env] || formerValue(name, env[setting.formerEnv ?? ''], problems);
    if (value !== undefined && value !== '') given[name] = fromText(setting, value);
  }
  const file = readFile(env, cwd, problems);
  for (const [name, read] of [
    ['providers', (value: unknown) => readProviders(value, problems)],
    ['processLimits', readProcessLimits],
  ] as const)
    if (file[name] !== undefined) file[name] = read(file[name]);
  const values = { ...file, ...resolveFolders(given, cwd) };
  return { ...values, redisUrl: withPassword(values['redisUrl'], env['REDIS_PASSWORD']) };
}

/** The names of the settings that are given, by where. Nothing is checked. */
export function givenIn(
  env: Environment,
  cwd: string,
): { readonly variables: ReadonlySet<string>; readonly file: ReadonlySet<string> } {
  const isGiven = ([, { env: name, formerEnv = '' }]: (typeof describedSettings)[number]): boolean =>
    Boolean(env[name] || env[formerEnv]);
  const file = readFile(env, cwd, []);
  setProcessLimits(file); // its values are those of other settings
  return {
    variables: new Set(describedSettings.filter(isGiven).map(([name]) => name)),
    file: new Set(Object.keys(file)),
  };
}

/** Whether the settings say where jobs may run. Otherwise they run where the server was started. */
export function namesRoots(env: Environment, cwd: string): boolean {
  const { roots, cwd: folder } = givenValues(env, cwd, []);
  return folder !== undefined || (roots !== undefined && !(Array.isArray(roots) && roots.length === 0));
}

/**
 * Returns the settings: variables override the file, which overrides the defaults. The file is the
 * one that `BULLPEN_CONFIG` names, else the user's own. It is never one in a folder where jobs run.
 *
 * @param env usually `process.env`, with `--config` as `BULLPEN_CONFIG`
 * @param cwd where the server was started
 * @param program whose rules of a safe start count
 * @throws AppError config.invalid with one problem per wrong setting
 */
export function loadSettings(env: Environment, cwd: string, program: Program = 'server'): Settings {
  const problems: Problem[] = [];
  const values = givenValues(env, cwd, problems);
  refuseUnknown(env, problems);
  setDefaultFolders(values, env, cwd);
  setProcessLimits(values);
  const complete = Value.Default(Settings, values) as Record<string, unknown>; // the default of an object is an object
  problems.push(...problemsIn(complete));
  if (problems.length === 0) {
    const checked = complete as Settings; // every part was checked
    setServiceSecrets(checked, problems);
    problems.push(...contradictionsIn(checked), ...unsafeSettings(checked, env, program));
  }
  if (problems.length > 0 || !Value.Check(Settings, complete)) throw invalid(problems);
  return complete;
}

/** The secrets of the executor, from their file. */
function setServiceSecrets(settings: Settings, problems: Problem[]): void {
  const { serviceSecretFile: file, serviceSecrets } = settings;
  if (file === null) return;
  const path = 'serviceSecretFile (CLAUDE_SERVICE_SECRET_FILE)';
  if (serviceSecrets.length > 0)
    problems.push({ path, message: 'and CLAUDE_SERVICE_SECRET exclude each other' });
  else
    try {
      settings.serviceSecrets = readSecretFile(file);
    } catch (error) {
      problems.push({ path, message: messageOf(error) });
    }
}

/** Problems of settings that are valid alone but not together. */
function contradictionsIn({ leaseMs, nodeLostAfterMs }: Settings): Problem[] {
  if (nodeLostAfterMs >= 2 * leaseMs) return [];
  const message = `must be at least twice leaseMs (${leaseMs}): a healthy server would be taken for lost`;
  return [{ path: 'nodeLostAfterMs (BULLPEN_NODE_LOST_AFTER_MS)', message }];
}

/**
 * Returns one problem for each wrong setting. The checker of all settings would stop after a few.
 */
function problemsIn(values: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(values)) {
    if (Object.hasOwn(SETTINGS, name) || Object.hasOwn(FILE_SETTINGS, name)) continue;
    problems.push({ path: name, message: 'is not a setting' });
  }
  for (const [name, setting] of describedSettings) {
    const [error] = Value.Errors(SETTINGS[name], values[name]);
    if (error !== undefined)
      problems.push({ path: `${name} (${setting.env})`, message: inWords(error.message) });
  }
  for (const [name, schema] of Object.entries(FILE_SETTINGS)) {
    const seen = new Set<string>();
    for (const { instancePath, message, keyword } of Value.Errors(schema, values[name])) {
      // An error in a part is followed by errors of the objects around it, which are left out.
      if ([...seen].some((path) => path.startsWith(instancePath))) continue;
      seen.add(instancePath);
      const what = keyword === 'boolean' ? 'is not a setting' : message;
      problems.push({ path: `${name}${instancePath}`.replaceAll('/', '.'), message: what });
    }
  }
  return problems;
}

/**
 * Variables that are not in the table: of the loader itself, the client, the CLIs and
 * `failpoint.ts`.
 */
const OTHER_NAMES = new Set([
  'BULLPEN_CONFIG',
  'BULLPEN_URL',
  'BULLPEN_TOKEN',
  'BULLPEN_JOB_TOKEN',
  'BULLPEN_EXECUTION_ID',
  'BULLPEN_TEST_FAILPOINTS',
]);

function refuseUnknown(env: Environment, problems: Problem[]): void {
  const known = new Set(describedSettings.map(([, setting]) => setting.env));
  for (const name of Object.keys(env)) {
    if (!name.startsWith('BULLPEN_') || known.has(name) || OTHER_NAMES.has(name)) continue;
    problems.push({ path: name, message: 'is not a setting; .env.example lists them all' });
  }
}

function invalid(problems: readonly Problem[]): AppError {
  const lines = problems.map(({ path, message }) => `  ${path}: ${message}`);
  return new AppError('config.invalid', `the settings are wrong:\n${lines.join('\n')}`, { problems });
}
