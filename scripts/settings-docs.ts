/** `.env.example` and docs/settings.md, made from the table of settings. Pure: `generate-docs.ts` writes them. */
import { SETTINGS } from '../src/config/schema.ts';
import { CustomPointers, CustomSettings, ProviderSettings } from '../src/protocol/provider-settings.ts';
import { Price } from '../src/protocol/usage.ts';
import { CLAUDE_ENV_NAMES } from '../src/providers/claude/provider.ts';
import { PRICES_AS_OF } from '../src/usage/price-table.ts';

/** What TypeBox keeps of a schema and does not say in its type. */
interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly env?: string;
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Setting {
  /** In the file of settings. */
  readonly name: string;
  readonly env: string;
  /** As it would be written into the variable; '' for none. */
  readonly initial: string;
  /** The default as a person says it, where that is another text. */
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
    values: [valuesOf(schema), unitOf(name)].filter(Boolean).join(' '),
    inWords: inWords(name, schema.default),
    meaning: (schema.description ?? '').replace(/ \((ms|bytes)\)$/, ''),
  }));

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

/** Which values a setting takes, in a few words. */
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

/** A schema may leave either bound out. */
function range({ minimum, maximum }: Schema): string {
  if (minimum === undefined) return maximum === undefined ? 'number' : `up to ${grouped(maximum)}`;
  return maximum === undefined ? `${grouped(minimum)} or more` : `${grouped(minimum)} to ${grouped(maximum)}`;
}

const grouped = (value: number): string => value.toLocaleString('en-US').replaceAll(',', ' ');

/** Units live in names. */
function unitOf(name: string): string {
  if (name.endsWith('Ms')) return 'ms';
  return name.endsWith('Bytes') ? 'bytes' : '';
}

const GENERATED = 'Made by `npm run generate` from src/config/schema.ts; do not edit by hand.';

/** The whole text of `.env.example`. */
export function renderEnvExample(): string {
  const blocks = settings().map(
    ({ env, initial, inWords, values, meaning }) =>
      `# ${meaning}\n# ${values}${inWords === '' ? '' : ` (default ${inWords})`}\n#${env}=${initial}`,
  );
  const head = [
    '# Every setting of Bullpen, with its default. Nothing here has to be set.',
    '# Bullpen reads its environment, not this file. To use it: copy it to .env, take the # off a line, and start with',
    '#   set -a; . ./.env; set +a; npm start',
    '# The same settings may be in a file (docs/settings.md); a variable wins over the file.',
    `# ${GENERATED}`,
  ];
  const vendors = [
    "# The vendor's own: handed on to claude. One of them is its login, unless it has one already.",
    '#ANTHROPIC_API_KEY=',
    '#CLAUDE_CODE_OAUTH_TOKEN=',
    '#ANTHROPIC_AUTH_TOKEN=',
    '#ANTHROPIC_BASE_URL=',
  ];
  return `${[head.join('\n'), ...blocks, vendors.join('\n'), others.map(({ env, meaning }) => `# ${meaning}\n#${env}=`).join('\n\n')].join('\n\n')}\n`;
}

/** Variables that are no settings of the server. */
const others = [
  {
    env: 'BULLPEN_CONFIG',
    meaning: 'file of settings, as `--config FILE` names it. Default: ~/.config/bullpen/config.yaml',
  },
  { env: 'BULLPEN_URL', meaning: 'for clients: where the server is' },
  { env: 'BULLPEN_TOKEN', meaning: 'for clients: the token to send' },
];

/** The whole text of docs/settings.md. */
export function renderSettingsPage(): string {
  return `# Settings

<!-- ${GENERATED} -->

A setting comes from its variable, else from the file of settings, else it has its default. A wrong or unknown one stops
the start, with every problem listed. Lists are comma-separated in a variable and YAML lists in the file.

The file is the one that \`--config FILE\` names, else \`BULLPEN_CONFIG\`, else \`\${XDG_CONFIG_HOME:-~/.config}/bullpen/config.yaml\`.
A file that was named must be there; the default one may be missing. **No setting comes from the folder a command is
typed in or a job works in**: a \`bullpen.config.yaml\` in the current folder is mentioned on stderr and not read. A file that
belongs to another user (root excepted), or that every user may write, is refused. Keep it outside of the roots where jobs
may write. The names of folders (\`home\`, \`cacheDir\`, \`cwd\`, \`roots\`, \`trustedRoots\`) may be relative: in the file, to the
file's folder; in a variable, to the folder where the server is started.

| variable | in the file | default | values | meaning |
|---|---|---|---|---|
${settings()
  .map((one) => row(code(one.env), code(one.name), defaultOf(one), one.values, one.meaning))
  .join('\n')}

Beside them:

| variable | meaning |
|---|---|
${others.map(({ env, meaning }) => row(code(env), meaning)).join('\n')}

## Providers

Only in the file, below \`providers\`:

| key | default | values | meaning |
|---|---|---|---|
${providerRows('claude', ProviderSettings.properties.claude.properties)}
${providerRows('custom.NAME', CustomSettings.properties)}
${providerRows('custom.NAME.output.ndjson', CustomPointers.properties)}

A custom command is a provider of its own, called NAME:

\`\`\`yaml
providers:
  custom:
    shout:
      binary: tr
      args: [a-z, A-Z]
\`\`\`

## Prices

Only in the file, below \`prices\`: what a model costs, over the table of ${PRICES_AS_OF} that Bullpen has (docs/providers.md).

| key | default | values | meaning |
|---|---|---|---|
${providerRows('MODEL', Price.properties)}

## What claude sees of the environment

A CLI gets no variable but those on its list. For claude, beside the common ones (\`PATH\`, \`HOME\`, the locale, the
time zone):

${CLAUDE_ENV_NAMES.map(code).join(', ')}.

\`BULLPEN_PASS_ENV\` adds names, but never one that makes a loader, a shell or an interpreter run other code.
`;
}

/** A union that the schema's own words do not tell. */
const OUTPUT = {
  values: '`text`, `{json: POINTER}`, `{ndjson: {text: POINTER, …}}`',
  meaning:
    'how stdout becomes text: as it is, from one JSON document, or from a JSON value on each line; POINTER is a JSON pointer (RFC 6901)',
};

const providerRows = (prefix: string, properties: object): string =>
  entries(properties)
    .map(([name, schema]) => {
      const initial = schema.default === undefined ? '' : JSON.stringify(schema.default);
      const { values, meaning } =
        schema === CustomSettings.properties.output
          ? OUTPUT
          : { values: valuesOf(schema), meaning: schema.description ?? '' };
      return row(code(`${prefix}.${name}`), code(initial), values, meaning);
    })
    .join('\n');

const defaultOf = ({ initial, inWords }: Setting): string =>
  [code(initial), inWords === '' ? '' : `(${inWords})`].filter(Boolean).join(' ');

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);

const row = (...cells: string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
