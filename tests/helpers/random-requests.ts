/** Requests of jobs with any options, and with texts that a careless reader breaks. */
import type { PromptRequest } from '../../src/protocol/prompt.ts';

const TEXTS = [
  ...[
    'plain',
    "it's",
    '$HOME `id` "x" \\',
    'a\nb',
    ' padded ',
    '!x',
    'é 💥',
    "\x1b[2J'\\ \u202e",
    '\ttab\r\n',
  ],
  ...[
    '-',
    '--',
    '-n',
    '--help',
    '-- x',
    '--provider=x',
    '/help',
    "'",
    "\\'",
    '%s',
    '#',
    '~',
    '*',
    '{}',
    '$(id)',
  ],
];
const WORDS = ["it's", ' a b ', '$(id)', '-x', '--detach', 'k=v', 'é💥', '*', 'plain', ','];
const TOOLS = ['Read', 'mcp__x__*', 'Bash(git log *)', "Bash(echo 'it''s' \"$HOME\")", 'Bash( x )'];
const SCHEMAS = [{ type: 'object' }, { type: 'object', properties: { "it's": { type: 'string' } } }];

export interface RandomRequests {
  /** Providers to name, and folders to run in. */
  readonly providers: readonly string[];
  readonly folders: readonly string[];
  /** The share of the options that a request has. Default: a half of the requests have a half. */
  readonly share?: number;
}

/** The same numbers from 0 to 1 give the same request. */
export function randomRequest(
  next: () => number,
  { providers, folders, share = next() / 2 }: RandomRequests,
): PromptRequest {
  // as: no list is empty
  const one = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T;
  const some = <T>(values: readonly T[]): T[] => values.filter(() => next() < 0.4);
  const whole = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1));
  const ms = (): number => one([1, 90_000, 900_000, 3_600_001, whole(1, 7_200_000)]);
  const all: Omit<Required<PromptRequest>, 'prompt' | 'runAt' | 'sessionId'> = {
    provider: one(providers),
    model: one(['opus', 'claude-sonnet-4-5', 'a/b:c@1']),
    effort: one(['low', 'high'] as const),
    cwd: one(folders),
    permissionMode: one(['default', 'plan', 'acceptEdits'] as const),
    allowedTools: some(TOOLS),
    disallowedTools: some(TOOLS),
    onPermissionDenied: one(['report', 'fail', 'ask'] as const),
    approvalTimeoutMs: ms(),
    background: one(['stop', 'wait'] as const),
    appendSystemPrompt: one(TEXTS),
    outputSchema: one(SCHEMAS),
    maxTurns: whole(1, 1000),
    maxCostUsd: one([1, 0.1 + 0.2, 1e-7, 1.23e-20, 10_000, next()]),
    providerOptions: one([{}, { fallbackModel: 'haiku' }]),
    limits: one([{}, { processes: 5 }, { openFiles: 10, outputBytes: 1000, lineBytes: 100 }]),
    timeoutMs: ms(),
    idleTimeoutMs: ms(),
    ttlMs: ms(),
    priority: whole(-10, 10),
    delayMs: one([0, ms()]),
    retry: one([{}, { maxAttempts: whole(1, 20) }, { mode: one(['continue', 'restart'] as const) }]),
    continuePrompt: one(TEXTS),
    autoContinue: one([true, false]),
    onQuota: one(['wait', 'fail'] as const),
    quotaTimeoutMs: ms(),
    concurrencyKey: one(WORDS),
    tags: some(WORDS),
    metadata: Object.fromEntries(some(WORDS).map((key) => [key, one(TEXTS)])),
  };
  const given = Object.entries(all).filter(() => next() < share);
  return { prompt: one(TEXTS), ...Object.fromEntries(given) };
}
