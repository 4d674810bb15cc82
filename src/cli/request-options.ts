/** The options of `run` and `retry` that are fields of the request. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { PromptOverrides } from '../protocol/prompt.ts';
import type { Arguments, OptionSpecs } from './arguments.ts';
import { usageError } from './command-error.ts';

const text = (value: string, help: string) => ({ type: 'string', value, help }) as const;
const repeatable = (value: string, help: string) => ({ ...text(value, help), multiple: true }) as const;

export const REQUEST_OPTIONS = {
  provider: text('NAME', 'which CLI: claude, codex, gemini, … (default: settings)'),
  model: text('NAME', 'model (default: settings, else the CLI decides)'),
  effort: text('LEVEL', 'low, medium, high, xhigh or max'),
  cwd: text('DIR', 'where the CLI runs; inside an allowed root of the server'),
  session: text('ID', 'go on with the conversation of an earlier job'),
  'permission-mode': text('MODE', 'default, plan, acceptEdits or fullAccess'),
  'allowed-tools': repeatable('LIST', "tools that need no asking, in the CLI's own names: Read,Bash(git *)"),
  'disallowed-tools': repeatable('LIST', 'tools that may not be used'),
  'on-permission-denied': text('WHAT', 'report or fail'),
  background: text('WHAT', 'stop or wait: what becomes of tasks and wake-ups behind the answer'),
  'max-turns': text('N', 'turns of the model at the most'),
  'max-cost-usd': text('USD', 'dollars at the most'),
  timeout: text('TIME', 'run time at the most: 90s, 15m, 1h'),
  'idle-timeout': text('TIME', 'silence at the most'),
  ttl: text('TIME', 'give up when it has waited this long'),
  priority: text('N', '-10 to 10, higher runs sooner'),
  delay: text('TIME', 'wait this long before it may run'),
  'retry-attempts': text('N', 'attempts at the most, when it fails in a way that may pass'),
  'concurrency-key': text('KEY', 'jobs with the same key run one at a time'),
  tag: repeatable('TAG', 'a word to find it by'),
  metadata: repeatable('KEY=VALUE', 'something to keep with it'),
  'output-schema': text('FILE', 'JSON Schema the answer must fit'),
  'append-system-prompt': text('TEXT', "more for the CLI's system prompt"),
} satisfies OptionSpecs;

/**
 * What was asked for, as fields of a request; the server checks what they hold.
 * @param cwd what a relative path is relative to
 * @throws CommandError for what cannot even be sent
 */
export function requestFields(args: Arguments, cwd: string): PromptOverrides {
  const dir = args.text('cwd');
  const schemaFile = args.text('output-schema');
  const attempts = args.integer('retry-attempts');
  const metadata = args.texts('metadata');
  const fields = {
    provider: args.text('provider'),
    model: args.text('model'),
    effort: args.text('effort'),
    cwd: dir === undefined ? undefined : resolve(cwd, dir),
    sessionId: args.text('session'),
    permissionMode: args.text('permission-mode'),
    allowedTools: given(args.list('allowed-tools')),
    disallowedTools: given(args.list('disallowed-tools')),
    onPermissionDenied: args.text('on-permission-denied'),
    background: args.text('background'),
    maxTurns: args.integer('max-turns'),
    maxCostUsd: args.number('max-cost-usd'),
    timeoutMs: args.durationMs('timeout'),
    idleTimeoutMs: args.durationMs('idle-timeout'),
    ttlMs: args.durationMs('ttl'),
    priority: args.integer('priority'),
    delayMs: args.durationMs('delay'),
    retry: attempts === undefined ? undefined : { maxAttempts: attempts },
    concurrencyKey: args.text('concurrency-key'),
    tags: given(args.texts('tag')),
    metadata: metadata.length === 0 ? undefined : Object.fromEntries(metadata.map(pairOf)),
    outputSchema: schemaFile === undefined ? undefined : readSchema(resolve(cwd, schemaFile)),
    appendSystemPrompt: args.text('append-system-prompt'),
  };
  const asked = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(asked) as PromptOverrides; // words and numbers are checked by the server, which knows which fit
}

const given = (list: readonly string[]): readonly string[] | undefined =>
  list.length === 0 ? undefined : list;

function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw usageError(`--metadata takes KEY=VALUE, not ${JSON.stringify(text)}`);
}

function readSchema(file: string): Record<string, unknown> {
  let content: string;
  try {
    content = readFileSync(file, 'utf8');
  } catch (error) {
    throw usageError(`--output-schema: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const schema: unknown = JSON.parse(content);
    if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) return { ...schema };
  } catch {
    // Said below, like any other thing that is no schema.
  }
  throw usageError(`--output-schema: ${file} does not hold a JSON object`);
}
