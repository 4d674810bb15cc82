/** One job: what it does now, what it has done, and what can be done with it. */
import { useEffect } from 'preact/hooks';
import { ApiError } from '../../../client/errors.ts';
import type { Job } from '../../../protocol/job.ts';
import { formatTime } from '../../format.ts';
import { useLoad } from '../../load.ts';
import { go, type Route, useRoute, withQuery } from '../../router.ts';
import { client, may } from '../../server.ts';
import { useTitle } from '../../title.ts';
import { visibleText } from '../../transcript/hostile.ts';
import { Transcript } from '../../transcript/transcript-view.tsx';
import { type Events, useEvents } from '../../transcript/use-events.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { JobStatusBadge } from '../../ui/status.tsx';
import { Ago } from '../../ui/time.tsx';
import { Actions } from './actions.tsx';
import { Commands } from './commands.tsx';
import { Composer } from './composer.tsx';
import { Executions } from './executions.tsx';
import { Facts } from './facts.tsx';
import { PendingApprovals } from './pending.tsx';
import { Raw } from './raw.tsx';
import { Result } from './result.tsx';
import { Tags } from './tags.tsx';
import './job.css';

export function JobScreen({ id }: { readonly id: string }) {
  const { data, error, reload, set } = useLoad(
    (signal) => client.get(id, { signal }),
    [id],
    (change) => change.kind === 'snapshot' || ('jobId' in change && change.jobId === id),
  );
  if (error instanceof ApiError && error.status === 404) return <Gone id={id} />;
  if (data === null)
    return (
      <>
        <header class="head">
          <h1>Job …{visibleText(id.slice(-6))}</h1>
        </header>
        {error === null ? <Loading lines={10} /> : <Failure error={error} retry={reload} />}
      </>
    );
  return <JobPage job={data} onChanged={set} />;
}

const Gone = ({ id }: { readonly id: string }) => (
  <>
    <header class="head">
      <h1>Job …{visibleText(id.slice(-6))}</h1>
    </header>
    <Empty title="There is no such job">
      <p>It was deleted, or it is no longer kept, or it belongs to another project.</p>
      <a class="button" href="/jobs">
        To the jobs
      </a>
    </Empty>
  </>
);

interface JobPageProps {
  readonly job: Job;
  readonly onChanged: (job: Job) => void;
}

function JobPage({ job, onChanged }: JobPageProps) {
  useTitle(titleOf(job.prompt));
  const events = useEvents({ job: job.id });
  const { transcript } = events;
  useEffect(() => transcript.name(job.id, job.prompt), [transcript, job.id, job.prompt]);
  const route = useRoute();
  const tab = TABS.find(({ name }) => name === route.query.get('tab')) ?? TABS[0];
  const show = (name: string): string => withQuery(route, { tab: name === 'transcript' ? null : name });
  useKeys(
    TABS.map(({ name, title }, index) => ({
      keys: String(index + 1),
      does: title,
      act: () => go(show(name), { replace: true }),
    })),
  );
  return (
    <>
      <Head job={job} onChanged={onChanged} transcript={transcript} />
      {tab.name !== 'transcript' && <PendingApprovals job={job} />}
      <nav class="tabs job-tabs" aria-label="Parts of the job">
        {TABS.map(({ name, title }) => (
          <a key={name} href={show(name)} aria-current={tab.name === name ? 'page' : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <Tab name={tab.name} job={job} events={events} route={route} />
      {/* At the end, where one reads on. */}
      {tab.name === 'transcript' && <PendingApprovals job={job} />}
      {job.status === 'running' && tab.name === 'transcript' && may('jobs:write') && (
        <Composer key={job.id} job={job} transcript={transcript} />
      )}
    </>
  );
}

const TABS = [
  { name: 'transcript', title: 'Transcript' },
  { name: 'result', title: 'Result' },
  { name: 'executions', title: 'Executions' },
  { name: 'raw', title: 'Raw' },
  { name: 'how', title: 'How' },
] as const;

interface TabProps {
  readonly name: (typeof TABS)[number]['name'];
  readonly job: Job;
  readonly events: Events;
  readonly route: Route;
}

function Tab({ name, job, events, route }: TabProps) {
  switch (name) {
    case 'transcript':
      return <TranscriptTab job={job} events={events} route={route} />;
    case 'result':
      return <Result job={job} />;
    case 'executions':
      return <Executions job={job} transcript={events.transcript} />;
    case 'raw':
      return <Raw job={job} />;
    case 'how':
      return <Commands job={job} />;
  }
}

function TranscriptTab({ job, events: { transcript, ended, error }, route }: Omit<TabProps, 'name'>) {
  if (error !== null) return <Failure error={error} />;
  // Of old events only the end is left.
  const isGone = ended && job.attempts > 0 && !transcript.phases.some(({ kind }) => kind === 'running');
  if (isGone)
    return (
      <Empty title="The transcript is no longer kept">
        <p>Events are kept for some days. The result, the cost and the executions are still there.</p>
        <a class="button" href={withQuery(route, { tab: 'result' })}>
          To the result
        </a>
      </Empty>
    );
  if (transcript.items.length > 0) return <Transcript items={transcript.items} follow={!job.finished} />;
  return job.status === 'running' || job.finished ? (
    <Loading />
  ) : (
    <Empty title="It has not begun">
      <p>The transcript appears here, as it comes.</p>
    </Empty>
  );
}

const MAX_TITLE = 300;

/** The first line of a prompt that says something. */
const titleOf = (prompt: string): string => {
  const line = /\S.*/.exec(visibleText(prompt.slice(0, MAX_TITLE * 20)))?.[0] ?? 'Job';
  return line.slice(0, MAX_TITLE);
};

function Head({ job, onChanged, transcript }: JobPageProps & Pick<Events, 'transcript'>) {
  return (
    <header class="job-head">
      <div class="row job-line">
        <a class="soft" href="/jobs">
          Jobs
        </a>
        <span class="soft" aria-hidden="true">
          /
        </span>
        <span class="mono soft" title={job.id}>
          …{job.id.slice(-6)}
        </span>
        <CopyButton text={job.id} what="the id" />
        <JobStatusBadge status={job.status} why={job.waitReason} />
        {job.cancelRequested && !job.finished && <span class="badge warn">cancel requested</span>}
        {job.archived && <span class="badge">archived</span>}
        {job.scheduledFor !== null && !job.finished && (
          <span class="soft" title={formatTime(job.scheduledFor)}>
            until {formatTime(job.scheduledFor)}, <Ago at={job.scheduledFor} />
          </span>
        )}
        <Actions job={job} onChanged={onChanged} />
      </div>
      <h1 class="own-direction">{titleOf(job.prompt)}</h1>
      <Tags job={job} onChanged={onChanged} />
      <Facts job={job} transcript={transcript} />
    </header>
  );
}
