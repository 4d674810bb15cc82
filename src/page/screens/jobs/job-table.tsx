/** Jobs as rows: with keys, a selection, and what can be done with each. */
import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JobListItem } from '../../../protocol/job.ts';
import { formatCost, formatDuration } from '../../format.ts';
import { useNow } from '../../load.ts';
import { go } from '../../router.ts';
import { may } from '../../server.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { errorWords } from '../../ui/error-words.ts';
import { useKeys } from '../../ui/keys.tsx';
import { Menu } from '../../ui/popover.tsx';
import { JobStatusBadge, waitText } from '../../ui/status.tsx';
import { Ago } from '../../ui/time.tsx';
import { VirtualList } from '../../ui/virtual-list.tsx';
import { archiveJob, cancelJob, continueJob, removeJob, retryJob, wasCancelled } from './job-actions.ts';
import { placeOf } from './job-rows.ts';
import type { JobList } from './use-jobs.ts';
import './jobs.css';

const ROW_PX = 41;
const HEADS = ['Status', 'Prompt', 'Provider'];
const NUMBER_HEADS = ['Cost', 'Duration', 'Created'];

export interface Selection {
  readonly ids: ReadonlySet<string>;
  /** Every job that the filter names, also those that are not loaded. */
  readonly all: boolean;
}
export const NOTHING: Selection = { ids: new Set(), all: false };

interface JobTableProps {
  readonly list: JobList;
  readonly selection: Selection;
  readonly onSelect: (selection: Selection) => void;
}

export function JobTable({ list, selection, onSelect }: JobTableProps) {
  const { rows } = list;
  const [currentId, setCurrentId] = useState<string | null>(null);
  const [deleting, setDeleting] = useState<JobListItem | null>(null);
  const anchor = useRef<string | null>(null);
  const place = currentId === null ? -1 : placeOf(rows, currentId);
  const current = rows[place]?.id === currentId ? place : null;
  const job = current === null ? undefined : rows[current];
  const canWrite = may('jobs:write');

  const move = (by: number): void => {
    const next = current === null ? (by > 0 ? 0 : rows.length - 1) : current + by;
    const row = rows[Math.max(0, Math.min(next, rows.length - 1))];
    if (row !== undefined) setCurrentId(row.id);
  };
  const select = (id: string, through: boolean): void => {
    const ids = new Set(selection.all ? rows.map((row) => row.id) : selection.ids);
    if (through && anchor.current !== null) {
      const [a, b] = [placeOf(rows, anchor.current), placeOf(rows, id)];
      for (const row of rows.slice(Math.min(a, b), Math.max(a, b) + 1)) ids.add(row.id);
    } else if (ids.has(id)) ids.delete(id);
    else ids.add(id);
    anchor.current = id;
    onSelect({ ids, all: false });
  };
  const latest = useRef(select);
  latest.current = select;
  const [acts] = useState<RowActs>(() => ({
    select: canWrite ? (id, through) => latest.current(id, through) : null,
    focus: setCurrentId,
    remove: setDeleting,
  }));
  const onJob = (what: (job: JobListItem) => unknown) => () => job !== undefined && what(job);
  useKeys([
    { keys: 'j', does: 'next job', act: () => move(1), repeats: true },
    { keys: 'k', does: 'previous job', act: () => move(-1), repeats: true },
    { keys: 'Enter', does: 'open the job', act: onJob(({ id }) => go(`/jobs/${id}`)) },
  ]);
  useKeys(
    canWrite
      ? [
          { keys: 'x', does: 'select the job', act: onJob(({ id }) => select(id, false)) },
          { keys: 'X', does: 'select up to the job', act: onJob(({ id }) => select(id, true)) },
          { keys: 'e', does: 'archive the job', act: onJob(({ id, archived }) => archiveJob(id, !archived)) },
          { keys: 'r', does: 'retry the job', act: onJob((one) => one.finished && retryJob(one)) },
          { keys: 'Escape', does: 'select nothing', act: () => onSelect(NOTHING) },
        ]
      : [],
  );
  return (
    <div class={canWrite ? 'card jobs' : 'card jobs read-only'}>
      <div class="job-row heads">
        {canWrite && (
          <label class="pick">
            <input
              type="checkbox"
              aria-label="Select all jobs that match"
              checked={selection.all}
              onChange={() => onSelect(selection.all ? NOTHING : { ids: new Set(), all: true })}
            />
          </label>
        )}
        {[...HEADS, ...NUMBER_HEADS].map((name) => (
          <span key={name} class={NUMBER_HEADS.includes(name) ? 'number' : ''} aria-hidden="true">
            {name}
          </span>
        ))}
      </div>
      <VirtualList
        label="Jobs"
        items={rows}
        keyOf={({ id }) => id}
        estimate={() => ROW_PX}
        keepsPlace
        current={current}
        onNearEnd={list.loadMore}
        render={(row) => (
          <Row
            job={row}
            current={row.id === currentId}
            selected={selection.all || selection.ids.has(row.id)}
            acts={acts}
          />
        )}
      />
      {deleting !== null && <AskToDelete job={deleting} onClose={() => setDeleting(null)} />}
    </div>
  );
}

/** What a row asks of its list. The same object for all rows, so that only changed rows are drawn. */
interface RowActs {
  /** Null: the user may change nothing. */
  readonly select: ((id: string, through: boolean) => void) | null;
  readonly focus: (id: string) => void;
  readonly remove: (job: JobListItem) => void;
}

interface RowProps {
  readonly job: JobListItem;
  readonly current: boolean;
  readonly selected: boolean;
  readonly acts: RowActs;
}

const Row = memo(({ job, current, selected, acts }: RowProps) => {
  const { select, focus, remove } = acts;
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (current && document.activeElement !== link.current && !inRow(link.current))
      link.current?.focus({ preventScroll: true });
  }, [current]);
  const title = job.promptPreview.trim() === '' ? job.id : job.promptPreview;
  const wait = waitText(job.waitReason);
  const classes = ['job-row', selected ? 'selected' : '', job.archived ? 'archived' : ''].join(' ');
  return (
    <div class={classes} onFocusIn={() => focus(job.id)}>
      {select !== null && (
        <label class="pick">
          <input
            type="checkbox"
            checked={selected}
            aria-label={`Select ${title.slice(0, 60)}`}
            onClick={(event) => {
              event.preventDefault();
              select(job.id, event.shiftKey);
            }}
          />
        </label>
      )}
      <span class="state-of">
        <JobStatusBadge status={job.status} />
      </span>
      <span class="what">
        <a ref={link} class="title clip" href={`/jobs/${job.id}`} dir="auto">
          {title}
        </a>
        {wait !== '' && (
          <span class="note">
            {wait}
            {job.scheduledFor !== null && (
              <>
                , <Ago at={job.scheduledFor} />
              </>
            )}
          </span>
        )}
        {job.error !== null && (
          <span class="note bad clip" title={`${job.error.code}: ${job.error.message}`}>
            {errorWords(job.error.code)}
          </span>
        )}
        {job.deniedTools > 0 && <span class="note warn">{job.deniedTools} denied</span>}
        {job.archived && <span class="note">archived</span>}
        <span class="tags">
          {job.tags.slice(0, 3).map((tag) => (
            <bdi key={tag} class="tag clip">
              {tag}
            </bdi>
          ))}
          {job.tags.length > 3 && <span class="note">+{job.tags.length - 3}</span>}
        </span>
      </span>
      <span class="by clip soft" title={job.model ?? job.provider}>
        {job.provider}
        {job.model !== null && <span> · {job.model}</span>}
      </span>
      <span class="cost number soft">{formatCost(job.costUsd)}</span>
      <span class="took number soft">
        <Took job={job} />
      </span>
      <span class="made number soft">
        <Ago at={job.createdAt} />
      </span>
      {select !== null && <JobMenu job={job} onDelete={() => remove(job)} />}
    </div>
  );
});

const inRow = (link: Element | null): boolean =>
  link?.closest('.job-row')?.contains(document.activeElement) === true;

/** From the start to the end, or until now. */
function Took({ job }: { readonly job: JobListItem }) {
  if (job.startedAt === null) return <>–</>;
  if (job.finishedAt === null) return <Running since={job.startedAt} />;
  return <>{formatDuration(Math.max(0, Date.parse(job.finishedAt) - Date.parse(job.startedAt)))}</>;
}

function Running({ since }: { readonly since: string }) {
  const now = useNow(1000);
  const seconds = Math.max(0, Math.round((now - Date.parse(since)) / 1000));
  return <>{formatDuration(seconds * 1000 || 1000)}</>;
}

export function JobMenu({ job, onDelete }: { readonly job: JobListItem; readonly onDelete: () => void }) {
  const items = [
    ...(job.finished
      ? [
          { name: 'Retry from the start', act: () => retryJob(job) },
          ...(job.nativeSessionId === null
            ? []
            : [{ name: 'Continue in its session', act: () => continueJob(job) }]),
        ]
      : [
          {
            name: wasCancelled(job.id) ? 'Kill it now' : 'Cancel',
            act: () => cancelJob(job.id),
            danger: true,
          },
        ]),
    { name: 'Again with changes', act: () => go(`/jobs/new?from=${job.id}`) },
    { name: job.archived ? 'Unarchive' : 'Archive', act: () => archiveJob(job.id, !job.archived) },
    ...(job.finished ? [{ name: 'Delete …', act: onDelete, danger: true }] : []),
  ];
  return <Menu label={`Actions for ${job.promptPreview.trim().slice(0, 60)}`} items={items} />;
}

function AskToDelete({ job, onClose }: { readonly job: JobListItem; readonly onClose: () => void }) {
  return (
    <Dialog title="Delete this job?" onClose={onClose}>
      <div class="inside stack">
        <p class="clip">{job.promptPreview}</p>
        <p class="soft">Its transcript and its answer are deleted, too. Its cost stays in the usage.</p>
      </div>
      <footer>
        <Button onPress={onClose}>Keep it</Button>
        <Button
          look="danger"
          onPress={async () => {
            await removeJob(job.id);
            onClose();
          }}
        >
          Delete
        </Button>
      </footer>
    </Dialog>
  );
}
