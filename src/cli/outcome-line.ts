import type { Job } from '../protocol/job.ts';
import type { Usage } from '../protocol/outcome.ts';
import { deniedCount } from './denials.ts';
import { formatDuration } from './duration.ts';

/** `$0.0042 (reported)`; what nobody knows is said so and never shown as zero. */
export function formatCost(usage: Usage | null): string {
  if (usage === null || usage.costUsd === null) return 'cost unknown';
  return `${formatUsd(usage.costUsd)} (${usage.costBasis})`;
}

/** Dollars with as many digits as small sums need: `$1.25`, `$0.0042`, `$0.000044`. */
export function formatUsd(usd: number): string {
  const size = Math.abs(usd);
  if (size > 0 && size < 0.001) return `$${usd.toFixed(6)}`;
  return `$${usd.toFixed(size < 1 ? 4 : 2)}`;
}

export function formatTokens(usage: Usage | null): string {
  if (usage === null) return 'tokens unknown';
  const cached = usage.cacheReadTokens + usage.cacheWriteTokens;
  return `${usage.inputTokens} tokens in${cached === 0 ? '' : ` (+${cached} cached)`}, ${usage.outputTokens} out`;
}

/** How a job ended, in one line: status, cost with its basis, tokens, duration, session. */
export function outcomeLine(job: Pick<Job, 'id' | 'status' | 'outcome'>): string {
  const { status, outcome } = job;
  if (outcome === null || outcome.executionId === null) return `${status} without having run · job ${job.id}`;
  const denied = deniedCount(outcome.permissionDenials.length);
  const how = denied === null ? status : `${status}, ${denied}`;
  const parts = [how, formatCost(outcome.usage), formatTokens(outcome.usage)];
  if (outcome.durationMs !== null) parts.push(formatDuration(outcome.durationMs));
  if (outcome.sessionId !== null) parts.push(`session ${outcome.sessionId}`);
  return parts.join(' · ');
}
