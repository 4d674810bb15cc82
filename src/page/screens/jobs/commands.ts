/** Requests as commands that one can type. */
import type { PromptOverrides } from '../../../protocol/prompt.ts';

/** Characters that a terminal obeys, or that turn the direction of what follows. */
const UNSEEN = /[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const codeOf = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** A word that a shell reads as `text`. What a terminal would obey is written as its number. */
export function quoted(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (text.search(UNSEEN) === -1) return `'${text.replaceAll("'", `'\\''`)}'`;
  // bash and zsh have this form; a plain POSIX shell has no other one than the bytes themselves.
  return `$'${text.replace(/[\\']/g, (one) => `\\${one}`).replace(UNSEEN, codeOf)}'`;
}

/** Linux starts no program with a word of more than 128 KiB. A character has up to three bytes. */
const MAX_WORD = 40_000;

/** Has the shell itself write a text, which may then be of any length. */
const piped = (text: string, into: string): string => `printf %s ${quoted(text)} | ${into}`;

/** A request with curl; a body is sent as JSON. */
export function curl(args: readonly string[], body?: object): string {
  const json = body === undefined ? null : JSON.stringify(body).replace(UNSEEN, codeOf);
  const isLong = json !== null && json.length > MAX_WORD;
  const lines = [
    `curl ${args.map(quoted).join(' ')}`,
    `  -H "Authorization: Bearer $BULLPEN_TOKEN"`,
    ...(json === null
      ? []
      : [`  -H 'Content-Type: application/json'`, `  -d ${isLong ? '@-' : quoted(json)}`]),
  ];
  const command = lines.join(' \\\n');
  return isLong ? piped(json, command) : command;
}

/** Options of `bullpen run` by field of the request. */
const OPTIONS: Readonly<Record<string, string>> = {
  ...{ provider: 'provider', model: 'model', effort: 'effort', cwd: 'cwd', sessionId: 'session' },
  ...{ permissionMode: 'permission-mode', allowedTools: 'allowed-tools', tags: 'tag' },
  ...{ disallowedTools: 'disallowed-tools', onPermissionDenied: 'on-permission-denied' },
  ...{ background: 'background', maxTurns: 'max-turns', maxCostUsd: 'max-cost-usd', priority: 'priority' },
  ...{ timeoutMs: 'timeout', idleTimeoutMs: 'idle-timeout', ttlMs: 'ttl', delayMs: 'delay', runAt: 'run-at' },
  ...{ onQuota: 'on-quota', quotaTimeoutMs: 'quota-timeout', approvalTimeoutMs: 'approval-timeout' },
  ...{ continuePrompt: 'continue-prompt', concurrencyKey: 'concurrency-key' },
  ...{ appendSystemPrompt: 'append-system-prompt' },
};
const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A time as people write it: `90s`, `15m`. */
export function durationText(ms: number): string {
  const [unit, size] = UNITS.find(([, unitMs]) => ms !== 0 && ms % unitMs === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

export interface BullpenCommand {
  readonly command: string;
  /** Fields of the request that the command has no option for. */
  readonly left: readonly string[];
}

/** `bullpen run`, or `bullpen retry ID`, that does the same. */
export function bullpenOf(
  { prompt, ...fields }: PromptOverrides,
  retryOf: string | null = null,
): BullpenCommand {
  const left: string[] = [];
  const options = Object.entries(fields).flatMap(([name, value]): readonly string[] => {
    const own = optionsOf(name, value, retryOf !== null);
    if (own?.every(([, text]) => text === null || text.length <= MAX_WORD) === true)
      return own.map(([option, text]) => optionOf(option, text));
    left.push(name);
    return [];
  });
  const words = retryOf === null ? runWords(prompt ?? '', options) : retryWords(retryOf, prompt, options);
  return { command: words.join(' \\\n  '), left };
}

/** An option and its value; null: it is a switch. */
type Option = readonly [name: string, value: string | null];

/** The options that set a field to this value; null: there are none. */
function optionsOf(name: string, value: unknown, retries: boolean): readonly Option[] | null {
  if (name === 'autoContinue' && value === false) return [['no-auto-continue', null]];
  // A new job continues by itself. Of a retry, no option switches it on again.
  if (name === 'autoContinue') return retries ? null : [];
  if (name === 'onPermissionDenied' && value === 'ask' && !retries) return [['ask', null]];
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const written = Object.entries(value).map(([key, one]): Option | null => {
      if (name === 'metadata') return /^[^=]+$/.test(key) ? ['metadata', `${key}=${one}`] : null;
      const option = name === 'retry' ? RETRY[key] : undefined;
      return option === undefined ? null : [option, String(one)];
    });
    return written.length > 0 && written.every((one) => one !== null) ? written : null;
  }
  const option = OPTIONS[name];
  if (option === undefined || (Array.isArray(value) && value.length === 0)) return null;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.map((one) => [
    option,
    name.endsWith('Ms') && typeof one === 'number' ? durationText(one) : String(one),
  ]);
}

const RETRY: Readonly<Record<string, string>> = { maxAttempts: 'retry-attempts', mode: 'retry-mode' };

/** A value that begins with a hyphen is not another option. */
function optionOf(name: string, value: string | null): string {
  if (value === null) return `--${name}`;
  return value.startsWith('-') ? quoted(`--${name}=${value}`) : `--${name} ${quoted(value)}`;
}

function runWords(prompt: string, options: readonly string[]): readonly string[] {
  // As a word, a hyphen alone means stdin.
  if (prompt === '-' || prompt.length > MAX_WORD) return [piped(prompt, 'bullpen run -'), ...options];
  return prompt.startsWith('-')
    ? ['bullpen run', ...options, `-- ${quoted(prompt)}`]
    : [`bullpen run ${quoted(prompt)}`, ...options];
}

function retryWords(id: string, prompt: string | undefined, options: readonly string[]): readonly string[] {
  const changed = prompt === undefined ? [] : [optionOf('prompt', prompt)];
  return [`bullpen retry ${id} --from start`, ...changed, ...options];
}
