/** The rows of a list of jobs, newest first, and what changes of the server do to them. */
import type { JobChange } from '../../../protocol/change.ts';
import type { Job, JobFilter, JobListItem } from '../../../protocol/job.ts';

/** A job as the list has it. */
export function itemOf(job: Job): JobListItem {
  const { request, prompt, outcome, cwd, permissionMode, allowedTools, cancelRequested, ...common } = job;
  return {
    ...common,
    promptPreview: prompt.slice(0, 200),
    error: outcome?.error ?? null,
    costUsd: outcome?.usage?.costUsd ?? null,
    deniedTools: outcome?.permissionDenials.length ?? 0,
  };
}

/** Whether a job meets every condition of a filter, as the server decides it. */
export function matches(filter: JobFilter, job: Job): boolean {
  const { status, waitReason, provider, model, errorCode, tag, q, archived } = filter;
  const { createdAfter, createdBefore } = filter;
  const oneOf = (values: readonly string[] | undefined, value: string | null): boolean =>
    values === undefined || values.length === 0 || (value !== null && values.includes(value));
  const is = (wanted: string | undefined, value: string | null): boolean =>
    wanted === undefined || wanted === value;
  const at = Date.parse(job.createdAt);
  const texts = [job.prompt, job.outcome?.text ?? ''].map((text) => text.toLowerCase());
  return (
    oneOf(status, job.status) &&
    oneOf(waitReason, job.waitReason) &&
    oneOf(provider, job.provider) &&
    oneOf(model, job.model) &&
    oneOf(errorCode, job.outcome?.error?.code ?? null) &&
    (tag ?? []).every((one) => job.tags.includes(one)) &&
    is(filter.batch, job.batchId) &&
    is(filter.session, job.sessionId) &&
    is(filter.project, job.project) &&
    is(filter.principal, job.principal) &&
    (archived === undefined || archived === job.archived) &&
    (createdAfter === undefined || at > Date.parse(createdAfter)) &&
    (createdBefore === undefined || at < Date.parse(createdBefore)) &&
    (q === undefined || texts.some((text) => text.includes(q.toLowerCase())))
  );
}

/** Puts a job in its place, replaces it, or takes it out (null: it no longer belongs here). */
export function withRow(
  rows: readonly JobListItem[],
  id: string,
  row: JobListItem | null,
): readonly JobListItem[] {
  const at = placeOf(rows, id);
  const isThere = rows[at]?.id === id;
  if (row === null) return isThere ? rows.toSpliced(at, 1) : rows;
  return rows.toSpliced(at, isThere ? 1 : 0, row);
}

/** Where a job is, or would be: ids sort by time, and the newest is the first. */
export function placeOf(rows: readonly { readonly id: string }[], id: string): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.id ?? '') > id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The first rows as they were read now, and those after them as they were. */
export function withFirst(
  rows: readonly JobListItem[],
  first: readonly JobListItem[],
): readonly JobListItem[] {
  const last = first.at(-1);
  return last === undefined ? rows : [...first, ...rows.filter(({ id }) => id < last.id)];
}

/** What a change alone says of a job. */
export function changed(row: JobListItem, change: JobChange): JobListItem {
  const { status, waitReason, scheduledFor, attempts, at } = change;
  const finished = change.status === 'succeeded' || status === 'failed' || status === 'cancelled';
  return {
    ...row,
    ...{ status, waitReason, scheduledFor, attempts, finished },
    startedAt: row.startedAt ?? (status === 'running' ? at : null),
    finishedAt: finished ? (row.finishedAt ?? at) : null,
  };
}
