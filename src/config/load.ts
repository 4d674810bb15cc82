/** The only reader of the environment. Every problem is reported at once, and secrets are never quoted. */
import { closeSync, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { Compile } from 'typebox/compile';
import { Value } from 'typebox/value';
import { LineCounter, parseDocument } from 'yaml';
import { AppError, messageOf, type Problem } from '../errors.ts';
import { configFile, userFolder } from './places.ts';
import { FILE_SETTINGS, SETTINGS, Settings } from './schema.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

interface Described {
  readonly env: string;
  readonly type?: string;
  readonly anyOf?: readonly { readonly type?: string }[];
}

const checker = Compile(Settings);
const fileCheckers = Object.entries(FILE_SETTINGS).map(([name, schema]) => ({
  name,
  checker: Compile(schema),
}));
/** `as`: TypeBox keeps custom keywords on the schema but not in its type. */
const describedSettings = Object.entries(SETTINGS) as unknown as [keyof typeof SETTINGS, Described][];

/** A variable's text as the setting's type; text that does not fit stays text, and the check names it. */
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

/** Why a file must not be obeyed: its settings name programs to run, and another user could have written it. */
function unsafe({ mode, uid }: Stats): string | null {
  const self = process.getuid?.();
  if (self === undefined) return null; // a system without owners
  if (uid !== self && uid !== 0) return 'belongs to another user: it is not read';
  return (mode & 0o002) === 0 ? null : 'can be written by every user: it is not read (chmod o-w)';
}

/** @throws what the system says, and Error for a file that another user could have written */
function readOwn(file: string): string {
  const opened = openSync(file, 'r');
  try {
    const why = unsafe(fstatSync(opened));
    if (why !== null) throw new Error(why);
    return readFileSync(opened, 'utf8');
  } finally {
    closeSync(opened);
  }
}

function readFile(env: Environment, cwd: string, problems: Problem[]): Record<string, unknown> {
  const { path: file, named } = configFile(env, cwd);
  let text: string;
  try {
    text = readOwn(file);
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (!missing || named) problems.push({ path: file, message: messageOf(error) });
    return {};
  }
  // Places and codes only: the parser's own messages quote the file, which may hold a password.
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
  if (typeof content === 'object' && !Array.isArray(content)) return placed({ ...content }, dirname(file));
  problems.push({ path: file, message: 'must hold a mapping of settings' });
  return {};
}

/** Settings that name folders; a relative one is below the folder of its file, or where the server was started. */
const FOLDERS = ['home', 'cacheDir', 'cwd', 'roots', 'trustedRoots'];

function placed(values: Record<string, unknown>, base: string): Record<string, unknown> {
  const absolute = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(absolute);
    return typeof value === 'string' && value !== '' ? resolve(base, value) : value;
  };
  for (const name of FOLDERS) if (values[name] !== undefined) values[name] = absolute(values[name]);
  return values;
}

function placeDefaults(values: Record<string, unknown>, env: Environment, cwd: string): void {
  values['home'] ??= join(userFolder(env, 'XDG_STATE_HOME', '.local/state'), 'bullpen');
  values['cacheDir'] ??= join(userFolder(env, 'XDG_CACHE_HOME', '.cache'), 'bullpen');
  values['cwd'] ??= cwd;
  const { roots } = values;
  if (roots === undefined || (Array.isArray(roots) && roots.length === 0)) values['roots'] = [values['cwd']];
}

function givenValues(env: Environment, cwd: string, problems: Problem[]): Record<string, unknown> {
  const given: Record<string, unknown> = {};
  for (const [name, setting] of describedSettings) {
    const value = env[setting.env];
    if (value !== undefined && value !== '') given[name] = fromText(setting, value);
  }
  return { ...readFile(env, cwd, problems), ...placed(given, cwd) };
}

/** Whether the settings say where jobs may run. Else that is the folder a server is started in. */
export function namesRoots(env: Environment, cwd: string): boolean {
  const { roots, cwd: folder } = givenValues(env, cwd, []);
  return folder !== undefined || (roots !== undefined && !(Array.isArray(roots) && roots.length === 0));
}

/**
 * Settings from the environment, over the file of settings, over the defaults. The file is the one `BULLPEN_CONFIG`
 * names, else the user's own; never one of the folder that jobs run in.
 *
 * @param env usually `process.env`, with `--config` as `BULLPEN_CONFIG`
 * @param cwd where the server was started
 * @throws AppError config.invalid with one problem per wrong setting
 */
export function loadSettings(env: Environment, cwd: string): Settings {
  const problems: Problem[] = [];
  const values = givenValues(env, cwd, problems);
  refuseUnknown(env, problems);
  placeDefaults(values, env, cwd);
  const complete = Value.Default(Settings, values) as Record<string, unknown>; // an object stays one
  problems.push(...problemsIn(complete));
  if (problems.length === 0) problems.push(...contradictionsIn(complete as Settings)); // every part was checked
  if (problems.length > 0 || !checker.Check(complete)) throw invalid(problems);
  return complete;
}

/** Settings that are right alone and wrong together. */
function contradictionsIn({ leaseMs, nodeLostAfterMs }: Settings): Problem[] {
  if (nodeLostAfterMs >= 2 * leaseMs) return [];
  const message = `must be at least twice leaseMs (${leaseMs}): a healthy server would be taken for lost`;
  return [{ path: 'nodeLostAfterMs (BULLPEN_NODE_LOST_AFTER_MS)', message }];
}

/** One problem for each wrong setting; the checker of them all would stop after a few. */
function problemsIn(values: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(values)) {
    if (Object.hasOwn(SETTINGS, name) || Object.hasOwn(FILE_SETTINGS, name)) continue;
    problems.push({ path: name, message: 'is not a setting' });
  }
  for (const [name, setting] of describedSettings) {
    const [error] = Value.Errors(SETTINGS[name], values[name]);
    if (error !== undefined) problems.push({ path: `${name} (${setting.env})`, message: error.message });
  }
  for (const { name, checker: part } of fileCheckers) {
    const seen = new Set<string>();
    for (const { instancePath, message, keyword } of part.Errors(values[name])) {
      // What is wrong with a part makes the whole wrong too: the part is told first, and alone.
      if ([...seen].some((path) => path.startsWith(instancePath))) continue;
      seen.add(instancePath);
      const what = keyword === 'boolean' ? 'is not a setting' : message;
      problems.push({ path: `${name}${instancePath}`.replaceAll('/', '.'), message: what });
    }
  }
  return problems;
}

/** Variables read elsewhere than in the table: by the loader itself, the client, the CLIs, and `failpoint.ts`. */
const OTHER_NAMES = new Set([
  'BULLPEN_CONFIG',
  'BULLPEN_URL',
  'BULLPEN_TOKEN',
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
