/** A failure that no one has looked at yet. */
import type { JobListItem } from '../../../protocol/job.ts';
import { formatCost } from '../../format.ts';
import { client, may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Button } from '../../ui/button.tsx';
import { errorWords } from '../../ui/error-words.ts';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { retryOnce } from '../jobs/job-actions.ts';
import { useCurrent } from './approval-card.tsx';

/** Retried, and not archived yet: another try only archives them. */
const retried = new Set<string>();

/** Retried or archived, it is looked at, and leaves the inbox. */
export const retryFailure = (job: JobListItem, from: 'start' | 'session'): Promise<boolean> =>
  act(
    async () => {
      if (!retried.has(job.id)) await retryOnce(job.id, from);
      retried.add(job.id);
      await client.change(job.id, { archived: true });
      retried.delete(job.id);
    },
    from === 'start' ? 'Retried from the start' : 'It goes on in its session',
  );

export const archiveFailure = (job: JobListItem): Promise<boolean> =>
  act(() => client.change(job.id, { archived: true }), 'Archived');

interface FailureRowProps {
  readonly job: JobListItem;
  readonly current: boolean;
  readonly onFocus: () => void;
  readonly onOver: () => void;
}

export function FailureRow({ job, current, onFocus, onOver }: FailureRowProps) {
  const row = useCurrent(current);
  const does = (what: () => Promise<boolean>) => async (): Promise<void> => {
    if (await what()) onOver();
  };
  const prompt = visibleText(job.promptPreview.trim());
  const name = prompt.slice(0, 60);
  return (
    <article
      ref={row}
      class={current ? 'failed-job current' : 'failed-job'}
      tabIndex={-1}
      aria-label={`Failed: ${name}`}
      onFocusIn={onFocus}
    >
      <div class="about">
        <a class="title clip" href={`/jobs/${job.id}`} dir="auto">
          {prompt === '' ? job.id : prompt}
        </a>
        <span class="why">
          <span class="error-name" title={job.error?.code}>
            {job.error === null ? 'Failed' : errorWords(job.error.code)}
          </span>
          <span class="soft clip" title={job.error?.message}>
            {visibleText(job.error?.message ?? '')}
          </span>
        </span>
        <span class="soft facts-line">
          {job.provider}
          {job.model !== null && ` · ${job.model}`}
          {job.costUsd !== null && ` · ${formatCost(job.costUsd)}`}
          {' · '}
          <Ago at={job.finishedAt ?? job.createdAt} />
        </span>
      </div>
      {may('jobs:write') && (
        <div class="row acts">
          {job.nativeSessionId !== null && (
            <Button small label={`Continue ${name}`} onPress={does(() => retryFailure(job, 'session'))}>
              Continue
            </Button>
          )}
          <Button small label={`Retry ${name}`} shortcut="r" onPress={does(() => retryFailure(job, 'start'))}>
            Retry
          </Button>
          <Button small label={`Archive ${name}`} shortcut="e" onPress={does(() => archiveFailure(job))}>
            Archive
          </Button>
        </div>
      )}
    </article>
  );
}
