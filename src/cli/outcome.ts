/** The outcome of a job in words: status, cost, tokens, and the tools that were denied. */
import type { Job } from '../protocol/job.ts';
import type { Usage } from '../protocol/outcome.ts';
import { formatDuration, formatUsd, oneLine } from './format.ts';

/** The outcome in one line: status, cost with its basis, tokens, duration, session. */
export function outcomeLine(job: Pick<Job, 'id' | 'status' | 'outcome'>): string {
  const { status, outcome } = job;
  if (outcome === null || outcome.executionId === null) return `${status} without having run · job ${job.id}`;
  const denied = deniedCount(outcome.permissionDenials.length);
  const result = denied === null ? status : `${status}, ${denied}`;
  const parts = [result, formatCost(outcome.usage), formatTokens(outcome.usage)];
  if (outcome.durationMs !== null) parts.push(formatDuration(outcome.durationMs));
  if (outcome.sessionId !== null) parts.push(`session ${outcome.sessionId}`);
  return parts.join(' · ');
}

/** The end of a turn of a chat: `3.2 s · $0.0042 (reported)`; with the status if it failed. */
export function turnLine({ status, outcome }: Pick<Job, 'status' | 'outcome'>): string {
  const denied = deniedCount(outcome?.permissionDenials.length ?? 0);
  const parts = [...(status === 'succeeded' ? [] : [status]), ...(denied === null ? [] : [denied])];
  if (outcome !== null && outcome.durationMs !== null) parts.push(formatDuration(outcome.durationMs));
  if (outcome !== null && outcome.usage !== null) parts.push(formatCost(outcome.usage));
  return parts.join(' · ');
}

/** `$0.0042 (reported)`. An unknown cost is named so and never shown as zero. */
export function formatCost(usage: Usage | null): string {
  if (usage === null || usage.costUsd === null) return 'cost unknown';
  return `${formatUsd(usage.costUsd)} (${usage.costBasis})`;
}

function formatTokens(usage: Usage | null): string {
  if (usage === null) return 'tokens unknown';
  const cached = usage.cacheReadTokens + usage.cacheWriteTokens;
  return `${usage.inputTokens} tokens in${cached === 0 ? '' : ` (+${cached} cached)`}, ${usage.outputTokens} out`;
}

/** The answer: the text, or the structured value when there is no text. */
export function answerOf(outcome: { readonly text: string; readonly structured: unknown }): string {
  if (outcome.text !== '' || outcome.structured === null) return outcome.text;
  return JSON.stringify(outcome.structured);
}

const MAX_DENIALS_SHOWN = 5;

/** `1 tool denied`; null for none. */
export const deniedCount = (count: number): string | null =>
  count === 0 ? null : `${count} tool${count === 1 ? '' : 's'} denied`;

/** Each denied tool call, as `Bash touch x`; the last line is `and 3 more` when there are more. */
export function deniedTools({ outcome }: Pick<Job, 'outcome'>): readonly string[] {
  const denials = outcome?.permissionDenials ?? [];
  const shown = denials
    .slice(0, MAX_DENIALS_SHOWN)
    .map(({ tool, input }) => oneLine(`${tool} ${textOf(input)}`, 200));
  return denials.length > shown.length ? [...shown, `and ${denials.length - shown.length} more`] : shown;
}

/**
 * The command that runs the job again and allows the denied tools, too; null when a list of tools
 * would not help.
 */
export function allowingCommand(
  job: Pick<Job, 'id' | 'provider' | 'permissionMode' | 'allowedTools' | 'outcome'>,
): string | null {
  const denials = job.outcome?.permissionDenials ?? [];
  if (denials.length === 0 || job.permissionMode === 'plan') return null;
  const rules = denials.map(({ tool, input }) => ruleFor(job.provider, tool, input));
  const all = [...new Set([...job.allowedTools, ...rules])];
  return `bullpen retry ${job.id} ${all.map((rule) => `--allowed-tools ${quoted(rule)}`).join(' ')}`;
}

/** A command of one program. A command with shell syntax is not allowed by its first word. */
const SIMPLE = /^([\w.+-]+)( [^;&|<>$`()\n\\]*)?$/;

function ruleFor(provider: string, tool: string, input: unknown): string {
  const [, program, rest] = (provider === 'claude' && tool === 'Bash' && SIMPLE.exec(textOf(input))) || [];
  if (program === undefined) return tool;
  return rest === undefined ? `Bash(${program})` : `Bash(${program} *)`;
}

const quoted = (text: string): string =>
  /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** The command, file or address of a tool call; for other tools the whole input. */
function textOf(input: unknown): string {
  if (typeof input !== 'object' || input === null) return JSON.stringify(input) ?? '';
  for (const name of ['command', 'file_path', 'url', 'path']) {
    const value: unknown = Object.entries(input).find(([key]) => key === name)?.[1];
    if (typeof value === 'string') return value;
  }
  return JSON.stringify(input);
}
