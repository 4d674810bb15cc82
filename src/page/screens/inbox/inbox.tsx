/** What waits for a person: the first thing one sees. */
import { useRef, useState } from 'preact/hooks';
import { formatNumber, formatTime } from '../../format.ts';
import type { Loaded } from '../../load.ts';
import { go } from '../../router.ts';
import { client, may } from '../../server.ts';
import { Boundary } from '../../ui/boundary.tsx';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useKeys } from '../../ui/keys.tsx';
import { Empty, Failure, Loading } from '../../ui/states.tsx';
import { Ago } from '../../ui/time.tsx';
import { act } from '../../ui/toast.tsx';
import { archiveMany } from '../jobs/job-actions.ts';
import { ApprovalCard } from './approval-card.tsx';
import { archiveFailure, FailureRow, retryFailure } from './failure-row.tsx';
import type { Waiting } from './waiting.ts';
import './inbox.css';

export function InboxScreen({ waiting }: { readonly waiting: Loaded<Waiting> }) {
  const { data, error, reload } = waiting;
  return (
    <div class="inbox">
      <header class="head">
        <h1>Inbox</h1>
      </header>
      {data === null ? (
        error === null ? (
          <Loading />
        ) : (
          <Failure error={error} retry={reload} />
        )
      ) : data.approvals.length + data.failures.length + data.credentials.length === 0 ? (
        <Empty title="Nothing waits for you">
          <p>Approvals, questions and failures appear here as they come.</p>
          {may('jobs:write') && (
            <a class="button" href="/jobs/new">
              New job
            </a>
          )}
        </Empty>
      ) : (
        <Items data={data} reload={reload} />
      )}
    </div>
  );
}

interface ItemsProps {
  readonly data: Waiting;
  readonly reload: () => void;
}

function Items({ data, reload }: ItemsProps) {
  const [gone, setGone] = useState<ReadonlySet<string>>(new Set());
  const [currentId, setCurrentId] = useState<string | null>(null);
  const [asks, setAsks] = useState(false);
  const approvals = data.approvals.filter(({ id }) => !gone.has(id));
  const failures = data.failures.filter(({ id }) => !gone.has(id));
  const ids = [...approvals, ...failures].map(({ id }) => id);
  const present = useRef(ids);
  present.current = ids;
  const at = currentId === null ? -1 : ids.indexOf(currentId);
  const failure = failures.find(({ id }) => id === currentId);
  const canWrite = may('jobs:write');

  /** What was done leaves at once; the next one is the current one. */
  const over = (id: string): void => {
    const isThere = (one: string): boolean => present.current.includes(one);
    const place = ids.indexOf(id);
    const next = ids.slice(place + 1).find(isThere) ?? ids.slice(0, place).findLast(isThere) ?? null;
    // The answer took its time: the keyboard may be elsewhere by now.
    setCurrentId((now) => (now === id ? next : now));
    setGone((before) => new Set([...before, id]));
    reload();
  };
  const move = (by: number): void =>
    setCurrentId(ids[Math.max(0, Math.min(at === -1 && by < 0 ? 0 : at + by, ids.length - 1))] ?? null);
  const open = (): void => {
    const jobId = data.approvals.find(({ id }) => id === currentId)?.jobId ?? failure?.id;
    if (jobId !== undefined) go(`/jobs/${jobId}`);
  };
  const onFailure = (what: (job: NonNullable<typeof failure>) => Promise<boolean>) => async () => {
    if (failure !== undefined && (await what(failure))) over(failure.id);
  };
  useKeys([
    { keys: 'j', does: 'next', act: () => move(1), repeats: true },
    { keys: 'k', does: 'previous', act: () => move(-1), repeats: true },
    { keys: 'Enter', does: 'open the job', act: open },
  ]);
  useKeys(
    canWrite
      ? [
          { keys: 'e', does: 'archive the failure', act: onFailure(archiveFailure) },
          {
            keys: 'r',
            does: 'retry the failure',
            act: onFailure((job) => retryFailure(job, 'start')),
          },
        ]
      : [],
  );
  return (
    <div class="stack sections">
      {data.credentials.length > 0 && <Credentials credentials={data.credentials} reload={reload} />}
      {approvals.length > 0 && (
        <section class="stack" aria-label="Approvals and questions">
          <h2>
            Approvals and questions <span class="soft number">{formatNumber(approvals.length)}</span>
          </h2>
          {approvals.map((approval) => (
            <Boundary key={approval.id}>
              <ApprovalCard
                approval={approval}
                current={approval.id === currentId}
                onFocus={() => setCurrentId(approval.id)}
                onOver={() => over(approval.id)}
              />
            </Boundary>
          ))}
        </section>
      )}
      {failures.length > 0 && (
        <section class="stack" aria-label="Failures">
          <div class="row">
            <h2>
              Failures <span class="soft number">{data.more ? '100+' : formatNumber(failures.length)}</span>
            </h2>
            <span class="spread" />
            <a class="button small plain" href="/jobs?status=failed&archived=false">
              Show as a list
            </a>
            {canWrite && failures.length > 1 && (
              <Button small onPress={() => setAsks(true)}>
                Archive all …
              </Button>
            )}
          </div>
          <div class="card failures">
            {failures.map((job) => (
              <FailureRow
                key={job.id}
                job={job}
                current={job.id === currentId}
                onFocus={() => setCurrentId(job.id)}
                onOver={() => over(job.id)}
              />
            ))}
          </div>
        </section>
      )}
      {asks && (
        <Dialog title="Archive all failures?" onClose={() => setAsks(false)}>
          <p class="inside soft">
            They leave the inbox. The list of jobs still has them, and each can be retried there.
          </p>
          <footer>
            <Button onPress={() => setAsks(false)}>Not now</Button>
            <Button
              look="primary"
              onPress={async () => {
                setAsks(false);
                await archiveMany({ filter: { status: ['failed'] } });
                reload();
              }}
            >
              Archive all
            </Button>
          </footer>
        </Dialog>
      )}
    </div>
  );
}

const LOOKS = { ok: '', limited: 'warn', refused: 'bad', paused: '' } as const;
const WORDS = {
  ok: '',
  limited: 'has reached a usage limit. Its jobs wait.',
  refused: 'was refused by the vendor. Its jobs fail. Log in again.',
  paused: 'is paused. Its jobs wait.',
} as const;

/** Logins that jobs cannot use now, and when they can. */
function Credentials({ credentials, reload }: Pick<Waiting, 'credentials'> & Pick<ItemsProps, 'reload'>) {
  return (
    <section class="stack" aria-label="Logins">
      <h2>Logins</h2>
      <ul class="card logins">
        {credentials.map(({ name, status, limitedUntil }) => (
          <li key={name}>
            <span class={`badge dot ${LOOKS[status]}`}>{status}</span>
            <span>
              <b>{name}</b> {WORDS[status]}
              {limitedUntil !== null && (
                <span title={formatTime(limitedUntil)}>
                  {' '}
                  It opens <Ago at={limitedUntil} />.
                </span>
              )}
            </span>
            {may('admin') && (status === 'limited' || status === 'refused') && (
              <Button
                small
                label={`Use ${name} now`}
                onPress={async () => {
                  if (await act(() => client.resumeProvider(name), `Jobs use ${name} again`)) reload();
                }}
              >
                Use now
              </Button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
