/**
 * Renders `.env.example` and docs/settings.md from the table of settings. `generate-docs.ts` writes
 * the files.
 */
import { SETTINGS } from '../src/config/schema.ts';
import { JwtLimits, limitFields } from '../src/protocol/grant.ts';
import {
  CustomPointers,
  CustomSettings,
  PROCESS_LIMITS,
  ProviderSettings,
} from '../src/protocol/provider-settings.ts';
import { CommandSettings, TerminalSettings } from '../src/protocol/terminal-settings.ts';
import { Price } from '../src/protocol/usage.ts';
import { CLAUDE_ENV_NAMES } from '../src/providers/claude/provider.ts';
import { PRICES_AS_OF } from '../src/usage/price-table.ts';

/** The keywords of a schema that TypeBox keeps but does not have in its types. */
interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly env?: string;
  /** A variable that counts where `env` is not set. */
  readonly formerEnv?: string;
  readonly default?: unknown;
  /** A default that is computed, or none, in words. */
  readonly defaultText?: string;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Setting {
  /** Its name in the settings file. */
  readonly name: string;
  readonly env: string;
  /** The default as a variable's text; '' for none. */
  readonly initial: string;
  /** The default in words; '' when `initial` is clear. */
  readonly inWords: string;
  readonly values: string;
  readonly meaning: string;
}

/** `as`: see Schema. */
const entries = (properties: object): [string, Schema][] => Object.entries(properties) as [string, Schema][];

const settings = (): Setting[] =>
  entries(SETTINGS).map(([name, schema]) => ({
    name,
    env: schema.env ?? '',
    initial: initialOf(schema),
    values: schema.type === 'array' ? 'comma-separated list' : withUnit(name, schema),
    inWords: schema.defaultText ?? inWords(name, schema.default),
    meaning: meaningOf(schema),
  }));

const meaningOf = ({ description = '', formerEnv }: Schema): string =>
  formerEnv === undefined ? description : `${description} ${formerEnv} is accepted, too.`;

function initialOf({ default: initial }: Schema): string {
  if (initial === undefined || initial === null) return '';
  return Array.isArray(initial) ? initial.join(',') : String(initial);
}

const DAY_MS = 86_400_000;
const SPANS: readonly [number, string][] = [
  [DAY_MS, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
];
const SIZES: readonly [number, string][] = [
  [1024 * 1024, 'MiB'],
  [1024, 'KiB'],
];

function inWords(name: string, initial: unknown): string {
  if (typeof initial !== 'number') return '';
  const scale = name.endsWith('Ms') ? SPANS : name.endsWith('Bytes') ? SIZES : [];
  const [size, unit] = scale.find(([one]) => initial >= one && initial % one === 0) ?? [0, ''];
  return size === 0 ? '' : `${initial / size} ${unit}`;
}

/** The values that a setting takes, in a few words. */
function valuesOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.join(', ');
  const inner = schema.anyOf?.find(({ type }) => type !== 'null') ?? schema;
  switch (inner.type) {
    case 'integer':
    case 'number':
      return range(inner);
    case 'boolean':
      return 'true, false';
    case 'array':
      return 'list';
    case 'object':
      return 'mapping';
    default:
      return 'text';
  }
}

/** Either bound may be missing. */
function range({ minimum, maximum }: Schema): string {
  if (minimum === undefined) return maximum === undefined ? 'number' : `up to ${grouped(maximum)}`;
  return maximum === undefined ? `${grouped(minimum)} or more` : `${grouped(minimum)} to ${grouped(maximum)}`;
}

const grouped = (value: number): string => value.toLocaleString('en-US').replaceAll(',', ' ');

/** Units are in the names. */
const UNITS: readonly [string, string][] = [
  ['Ms', 'ms'],
  ['Bytes', 'bytes'],
  ['Seconds', 'seconds'],
];

function withUnit(name: string, schema: Schema): string {
  const unit = UNITS.find(([ending]) => name.endsWith(ending))?.[1] ?? '';
  return [valuesOf(schema), unit].filter(Boolean).join(' ');
}

const GENERATED = 'Made by `npm run generate` from src/config/schema.ts; do not edit by hand.';

/** The whole text of `.env.example`. */
export function renderEnvExample(): string {
  const blocks = settings().map(
    ({ env, initial, inWords, values, meaning }) =>
      `# ${meaning}\n# ${values}${inWords === '' ? '' : ` (default: ${inWords})`}\n#${env}=${initial}`,
  );
  const head = [
    '# Every setting of Bullpen, with its default. None of them has to be set.',
    '# Bullpen reads its environment, not this file. To use it, copy it to .env, remove the # of a line, and start with',
    '#   set -a; . ./.env; set +a; npm start',
    '# The same settings can be in a file (docs/settings.md). A variable overrides the file.',
    `# ${GENERATED}`,
  ];
  const vendors = [
    "# The vendor's own variables, which claude gets. One of them is its login, unless it has one already.",
    '#ANTHROPIC_API_KEY=',
    '#CLAUDE_CODE_OAUTH_TOKEN=',
    '#ANTHROPIC_AUTH_TOKEN=',
    '#ANTHROPIC_BASE_URL=',
  ];
  return `${[head.join('\n'), ...blocks, vendors.join('\n'), others.map(({ env, meaning }) => `# ${meaning}\n#${env}=`).join('\n\n')].join('\n\n')}\n`;
}

/** Variables that are not settings of the server. */
const others = [
  {
    env: 'BULLPEN_CONFIG',
    meaning: 'The settings file, like `--config FILE`. Default: ~/.config/bullpen/config.yaml.',
  },
  { env: 'BULLPEN_URL', meaning: 'For clients: the address of the server.' },
  { env: 'BULLPEN_TOKEN', meaning: 'For clients: the token to send.' },
  {
    env: 'BULLPEN_JOB_TOKEN',
    meaning: 'Inside a job: its token, which clients send when there is no BULLPEN_TOKEN.',
  },
];

/** The whole text of docs/settings.md. */
export function renderSettingsPage(): string {
  return `# Settings

<!-- ${GENERATED} -->

A setting comes from its variable, else from the settings file, else it has its default. A wrong or unknown setting
stops the start, and every problem is listed. A list is comma-separated in a variable and a YAML list in the file.

The file is the one that \`--config FILE\` names, else \`BULLPEN_CONFIG\`, else
\`\${XDG_CONFIG_HOME:-~/.config}/bullpen/config.yaml\`. A named file must exist; the default one may be missing.

- **No setting comes from the folder in which a command is typed or a job works.** A \`bullpen.config.yaml\` in the
  current folder is mentioned on stderr and not read.
- A file that belongs to another user (except root), or that every user may write, is refused. Keep it outside the roots
  where jobs may write.
- The folders \`home\`, \`cacheDir\`, \`cwd\`, \`roots\` and \`trustedRoots\` may be relative: in the file, to the file's
  folder; in a variable, to the folder where the server is started.

| variable | in the file | default | values | meaning |
|---|---|---|---|---|
${settings()
  .map((one) => row(code(one.env), code(one.name), defaultOf(one), one.values, one.meaning))
  .join('\n')}

Variables outside this table:

| variable | meaning |
|---|---|
${others.map(({ env, meaning }) => row(code(env), meaning)).join('\n')}

## Providers

Only in the file, under \`providers\`:

| key | default | values | meaning |
|---|---|---|---|
${providerRows('claude', ProviderSettings.properties.claude.properties)}
${providerRows('codex', { transport: ProviderSettings.properties.codex.properties.transport })}
${providerRows('custom.NAME', CustomSettings.properties)}
${providerRows('custom.NAME.output.ndjson', CustomPointers.properties)}

A custom command is a provider called NAME:

\`\`\`yaml
providers:
  custom:
    shout:
      binary: tr
      args: [a-z, A-Z]
\`\`\`

## Prices

Only in the file, under \`prices\`: the price of a model. It replaces the one in Bullpen's table of ${PRICES_AS_OF}
(docs/providers.md).

| key | default | values | meaning |
|---|---|---|---|
${providerRows('MODEL', Price.properties)}

## Limits of processes in one block

Only in the file: \`processLimits\` sets the limits of each process together. With the block, even an empty one, a value
that is left out is the one in this table; without it, the settings keep their own defaults. A setting that is set on
its own wins over the block. \`max_processes\` and \`idle_timeout\` (in seconds) are accepted, too.

| key | default | values | meaning |
|---|---|---|---|
${providerRows('processLimits', PROCESS_LIMITS)}

| what happens | code |
|---|---|
| as many processes run as may, and a job is made | none: the job waits; \`queue.full\` when too many wait (\`BULLPEN_MAX_QUEUED\`) |
| the run time is over | \`execution.timed_out\` |
| a process is silent | \`execution.idle\` |
| too much memory, CPU, too many open files or processes | \`execution.resource_limit\` |
| the machine cannot start another process | \`execution.resource_limit\` |
| the CLI cannot be started | \`execution.cli_missing\` |
| an idle process dies | none: a new one is started for the job |

## Limits of callers

Only in the file: limits of a project under \`projectLimits\`, and of each principal with a JWT under \`jwtLimits\`
([api.md](api.md#limits-of-callers)). Servers that share a Redis should have the same ones.

| key | default | values | meaning |
|---|---|---|---|
${providerRows('projectLimits.PROJECT', limitFields)}
${providerRows('jwtLimits', JwtLimits.properties)}

## Terminals

Only in the file ([sessions.md](sessions.md#terminals) has an example):

| key | default | values | meaning |
|---|---|---|---|
${providerRows('terminals', { enabled: TerminalSettings.properties.enabled })}
${providerRows('terminals.commands.NAME', CommandSettings.properties)}

## The environment of claude

A CLI gets only the variables on its list. For claude, these are the common ones (\`PATH\`, \`HOME\`, the locale, the
time zone) and:

${wrapped(CLAUDE_ENV_NAMES.map(code))}.

\`BULLPEN_PASS_ENV\` adds names, except those that make a loader, a shell or an interpreter run other code.
`;
}

/** The one union of the provider settings, in words. */
const OUTPUT = {
  values: '`text`, `{json: POINTER}`, `{ndjson: {text: POINTER, …}}`',
  meaning:
    'How stdout becomes text: unchanged, from one JSON document, or from a JSON value on each line. POINTER is a JSON pointer (RFC 6901).',
};

const providerRows = (prefix: string, properties: object): string =>
  entries(properties)
    .map(([name, schema]) => {
      const initial = schema.default === undefined ? '' : JSON.stringify(schema.default);
      const { values, meaning } =
        schema === CustomSettings.properties.output
          ? OUTPUT
          : { values: withUnit(name, schema), meaning: schema.description ?? '' };
      return row(code(`${prefix}.${name}`), code(initial), values, meaning);
    })
    .join('\n');

/** The value and its words, or the words of a computed default alone. */
const defaultOf = ({ initial, inWords }: Setting): string =>
  initial === '' ? inWords : [code(initial), inWords === '' ? '' : `(${inWords})`].filter(Boolean).join(' ');

/** Joins words with commas, in lines of at most 120 columns. */
function wrapped(words: readonly string[]): string {
  const lines = [''];
  for (const word of words) {
    const line = lines.at(-1) ?? '';
    if (line.length + word.length + 3 > 120) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line}, ${word}`;
  }
  return lines.join(',\n');
}

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);

const row = (...cells: string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
