/** How far the jobs of a batch are, as a bar and in words. */
import type { Batch } from '../../../protocol/job.ts';
import { formatNumber } from '../../format.ts';

type Counts = Batch['counts'];

const PARTS = ['succeeded', 'failed', 'cancelled', 'running', 'waiting', 'scheduled', 'queued'] as const;

/** `12 succeeded, 1 failed, 3 running`. */
export const countsText = (counts: Counts): string =>
  PARTS.filter((status) => counts[status] > 0)
    .map((status) => `${formatNumber(counts[status])} ${status}`)
    .join(', ');

export function Progress({ counts, total }: { readonly counts: Counts; readonly total: number }) {
  return (
    <span class="progress" role="img" aria-label={countsText(counts)} title={countsText(counts)}>
      {PARTS.filter((status) => counts[status] > 0).map((status) => (
        <span
          key={status}
          class={`part ${status}`}
          style={{ width: `${total === 0 ? 0 : (counts[status] / total) * 100}%` }}
        />
      ))}
    </span>
  );
}
