/** What the form of a new job sends, as a command that one can type. */
import type { PromptOverrides } from '../../../protocol/prompt.ts';
import { quoted } from '../job/how.ts';

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

/**
 * `bullpen run`, or `bullpen retry ID`, that does the same. `left`: fields for which it has no
 * option.
 */
export function bullpenOf(
  { prompt, ...fields }: PromptOverrides,
  retryOf: string | null = null,
): { readonly command: string; readonly left: readonly string[] } {
  const left: string[] = [];
  const options = Object.entries(fields).flatMap(([name, value]): readonly string[] => {
    const option = OPTIONS[name];
    if (name === 'retry') {
      const { maxAttempts, mode } = fields.retry ?? {};
      return [
        ...(maxAttempts === undefined ? [] : [`--retry-attempts ${maxAttempts}`]),
        ...(mode === undefined ? [] : [`--retry-mode ${mode}`]),
      ];
    }
    if (name === 'autoContinue') return value === false ? ['--no-auto-continue'] : [];
    if (name === 'metadata')
      return Object.entries(fields.metadata ?? {}).map(
        ([key, one]) => `--metadata ${quoted(`${key}=${one}`)}`,
      );
    if (name === 'onPermissionDenied' && value === 'ask') return ['--ask'];
    if (option === undefined) {
      left.push(name);
      return [];
    }
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.map((one) => {
      const text = name.endsWith('Ms') && typeof one === 'number' ? durationText(one) : String(one);
      return optionOf(option, text);
    });
  });
  return { command: wordsOf(prompt, retryOf, options).join(' \\\n  '), left };
}

/** A value that begins with a hyphen is not another option. */
const optionOf = (name: string, value: string): string =>
  value.startsWith('-') ? quoted(`--${name}=${value}`) : `--${name} ${quoted(value)}`;

function wordsOf(
  prompt: string | undefined,
  retryOf: string | null,
  options: readonly string[],
): readonly string[] {
  if (retryOf !== null) {
    const changed = prompt === undefined ? [] : [optionOf('prompt', prompt)];
    return [`bullpen retry ${retryOf} --from start`, ...changed, ...options];
  }
  const asked = quoted(prompt ?? '');
  return prompt?.startsWith('-') === true
    ? ['bullpen run', ...options, `-- ${asked}`]
    : [`bullpen run ${asked}`, ...options];
}
