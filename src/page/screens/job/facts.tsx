/** What one wants to know of a job at a glance. */
import type { ComponentChildren } from 'preact';
import type { Job } from '../../../protocol/job.ts';
import { formatCost, formatCount, formatDuration, formatNumber } from '../../format.ts';
import { useNow } from '../../load.ts';
import { may } from '../../server.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { sumOfUsages } from '../../transcript/phases.ts';
import type { Transcript } from '../../transcript/transcript.ts';
import { Ago } from '../../ui/time.tsx';

interface FactsProps {
  readonly job: Job;
  readonly transcript: Transcript;
}

export function Facts({ job, transcript }: FactsProps) {
  const { outcome, provider, sessionId } = job;
  const usage = outcome === null ? sumOfUsages(transcript.usages.values()) : outcome.usage;
  const ran = outcome?.provider ?? provider;
  return (
    <dl class="job-facts">
      <Fact name="Provider">
        {visibleText(ran)}
        {ran !== provider && <span class="soft"> for {provider}</span>}
      </Fact>
      <Fact name="Model">{visibleText(outcome?.model ?? job.model ?? 'default')}</Fact>
      <Fact name="Duration">
        <Duration job={job} />
      </Fact>
      <Fact name="Cost">
        <span class="number">{usage === null ? '–' : formatCost(usage.costUsd)}</span>
        {usage !== null && usage.costBasis !== 'reported' && <span class="soft"> {usage.costBasis}</span>}
        {usage !== null && outcome === null && <span class="soft"> so far</span>}
      </Fact>
      <Fact name="Tokens">
        {usage === null ? (
          '–'
        ) : (
          <span
            class="number"
            title={`${formatNumber(usage.inputTokens)} in, ${formatNumber(usage.outputTokens)} out, ${formatNumber(usage.cacheReadTokens)} read from the cache, ${formatNumber(usage.cacheWriteTokens)} written to it`}
          >
            {formatCount(usage.inputTokens + usage.cacheReadTokens + usage.cacheWriteTokens)} in ·{' '}
            {formatCount(usage.outputTokens)} out
          </span>
        )}
      </Fact>
      <Fact name="Attempts">
        <span class="number">{formatNumber(job.attempts)}</span>
      </Fact>
      <Fact name="Created">
        <Ago at={job.createdAt} />
      </Fact>
      <Fact name="By">
        <span title={job.principal}>{visibleText(job.principal)}</span>
      </Fact>
      {job.project !== 'default' && <Fact name="Project">{visibleText(job.project)}</Fact>}
      {may('sessions:read') && (
        <Fact name="Session">
          <a href={`/sessions/${encodeURIComponent(sessionId)}`}>…{sessionId.slice(-6)}</a>
        </Fact>
      )}
      {job.batchId !== null && (
        <Fact name="Batch">
          <a href={`/batches/${encodeURIComponent(job.batchId)}`}>…{job.batchId.slice(-6)}</a>
        </Fact>
      )}
      {job.retryOf !== null && (
        <Fact name="Retry of">
          <a href={`/jobs/${encodeURIComponent(job.retryOf)}`}>…{job.retryOf.slice(-6)}</a>
        </Fact>
      )}
      <Fact name="Folder" wide>
        <span class="mono" title={job.cwd}>
          {visibleText(job.cwd)}
        </span>
      </Fact>
    </dl>
  );
}

interface FactProps {
  readonly name: string;
  readonly wide?: boolean;
  readonly children: ComponentChildren;
}

const Fact = ({ name, wide = false, children }: FactProps) => (
  <div class={wide ? 'wide' : undefined}>
    <dt>{name}</dt>
    <dd class="clip">{children}</dd>
  </div>
);

function Duration({ job }: { readonly job: Job }) {
  const now = useNow(1000);
  if (job.startedAt === null) return <>–</>;
  const end = job.finishedAt === null ? now : Date.parse(job.finishedAt);
  const ms = Math.max(0, end - Date.parse(job.startedAt));
  const shown = job.finished ? ms : Math.floor(ms / 1000) * 1000;
  return <span class="number">{formatDuration(shown)}</span>;
}
