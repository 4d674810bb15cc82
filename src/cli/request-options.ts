/** The options of `run`, `batch` and `retry` that are fields of the request. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { PromptOverrides } from '../protocol/prompt.ts';
import { type Arguments, type OptionSpecs, parseStart } from './arguments.ts';
import { usageError } from './failures.ts';
import { textIn } from './read-stdin.ts';

const text = (value: string, help: string) => ({ type: 'string', value, help }) as const;
const repeatable = (value: string, help: string) => ({ ...text(value, help), multiple: true }) as const;

export const REQUEST_OPTIONS = {
  provider: text('NAME', 'claude, codex, gemini, … (default: by the settings)'),
  model: text('NAME', 'model (default: by the settings, or the choice of the CLI)'),
  effort: text('LEVEL', 'low, medium, high, xhigh or max'),
  cwd: text('DIR', 'folder to run in; must be inside an allowed root of the server'),
  session: text('ID', 'continue the session of another job, at its end'),
  'permission-mode': text('MODE', 'default, plan, acceptEdits or fullAccess'),
  'allowed-tools': repeatable(
    'LIST',
    'tools to allow without asking, as the CLI names them: Read,Bash(git *)',
  ),
  'disallowed-tools': repeatable('LIST', 'tools to forbid'),
  'on-permission-denied': text('ACTION', 'report (default), fail or ask a person'),
  background: text('ACTION', 'stop or wait for tasks and wake-ups that go on after the answer'),
  'max-turns': text('N', 'maximum turns of the model'),
  'max-cost-usd': text('USD', 'maximum cost in dollars'),
  timeout: text('TIME', 'maximum run time: 90s, 15m, 1h'),
  'idle-timeout': text('TIME', 'maximum time without output'),
  ttl: text('TIME', 'maximum time in the queue'),
  priority: text('N', '-10 to 10; higher runs sooner'),
  delay: text('TIME', 'wait this long before it may run'),
  'run-at': text('WHEN', 'when it may start: 22:00, or a date and time'),
  'retry-attempts': text('N', 'maximum attempts, when a failure may be temporary'),
  'on-quota': text('ACTION', 'at a usage limit: wait for its end, or fail'),
  'approval-timeout': text('TIME', 'maximum time for an answer to an approval: 12h, 7d'),
  'quota-timeout': text('TIME', 'maximum time of waiting for usage limits: 12h, 7d'),
  'retry-mode': text('MODE', 'continue (default) in the session, or restart'),
  'continue-prompt': text('TEXT', 'what to ask in a session that has the prompt'),
  'no-auto-continue': { type: 'boolean', help: 'count a continuation after a crash as an attempt' },
  'concurrency-key': text('KEY', 'jobs with the same key run one at a time'),
  tag: repeatable('TAG', 'word for searches and sums'),
  metadata: repeatable('KEY=VALUE', 'your own data, kept with the job'),
  'output-schema': text('FILE', 'JSON Schema that the answer must match'),
  'append-system-prompt': text('TEXT', 'text to add to the system prompt of the CLI'),
} satisfies OptionSpecs;

/**
 * The given options as fields of a request. The server checks their values.
 * @param cwd folder of relative paths
 * @param now for a `--run-at` that names no date
 * @throws CommandError for values that cannot be sent
 */
export function requestFields(args: Arguments, cwd: string, now: Date): PromptOverrides {
  const [dir, runAt] = [args.text('cwd'), args.text('run-at')];
  const schemaFile = args.text('output-schema');
  const metadata = args.texts('metadata');
  const fields = {
    provider: args.text('provider'),
    model: args.text('model'),
    effort: args.text('effort'),
    cwd: dir === undefined ? undefined : resolve(cwd, dir),
    sessionId: args.text('session'),
    permissionMode: args.text('permission-mode'),
    allowedTools: nonEmpty(args.list('allowed-tools')),
    disallowedTools: nonEmpty(args.list('disallowed-tools')),
    onPermissionDenied: args.text('on-permission-denied'),
    background: args.text('background'),
    maxTurns: args.integer('max-turns'),
    maxCostUsd: args.number('max-cost-usd'),
    timeoutMs: args.durationMs('timeout'),
    idleTimeoutMs: args.durationMs('idle-timeout'),
    ttlMs: args.durationMs('ttl'),
    priority: args.integer('priority'),
    delayMs: args.durationMs('delay'),
    runAt: runAt === undefined ? undefined : parseStart('--run-at', runAt, now),
    onQuota: args.text('on-quota'),
    approvalTimeoutMs: args.durationMs('approval-timeout'),
    quotaTimeoutMs: args.durationMs('quota-timeout'),
    retry: retryOf(args),
    continuePrompt: args.text('continue-prompt'),
    autoContinue: args.flag('no-auto-continue') ? false : undefined,
    concurrencyKey: args.text('concurrency-key'),
    tags: nonEmpty(args.texts('tag')),
    metadata: metadata.length === 0 ? undefined : Object.fromEntries(metadata.map(pairOf)),
    outputSchema: schemaFile === undefined ? undefined : readSchema(resolve(cwd, schemaFile)),
    appendSystemPrompt: args.text('append-system-prompt'),
  };
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as PromptOverrides; // the server checks the values
}

function retryOf(args: Arguments): object | undefined {
  const [maxAttempts, mode] = [args.integer('retry-attempts'), args.text('retry-mode')];
  if (maxAttempts === undefined && mode === undefined) return undefined;
  return { ...(maxAttempts === undefined ? {} : { maxAttempts }), ...(mode === undefined ? {} : { mode }) };
}

const nonEmpty = (list: readonly string[]): readonly string[] | undefined =>
  list.length === 0 ? undefined : list;

/** KEY=VALUE. @throws CommandError */
export function pairOf(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw usageError(`--metadata takes KEY=VALUE, not ${JSON.stringify(text)}`);
}

function readSchema(file: string): Record<string, unknown> {
  let content: string;
  try {
    content = textIn(readFileSync(file), file);
  } catch (error) {
    throw usageError(`--output-schema: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const schema: unknown = JSON.parse(content);
    if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) return { ...schema };
  } catch {
    // The error below covers it.
  }
  throw usageError(`--output-schema: ${file} does not hold a JSON object`);
}
