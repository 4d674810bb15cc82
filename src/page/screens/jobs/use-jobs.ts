/** A list of jobs that grows as one reads on, and follows what changes on the server. */
import { useEffect, useReducer, useRef } from 'preact/hooks';
import { ApiError } from '../../../client/errors.ts';
import type { JobChange } from '../../../protocol/change.ts';
import type { JobFilter, JobListItem } from '../../../protocol/job.ts';
import {
  type Changed,
  client,
  connectionState,
  isUnauthenticated,
  onChange,
  onConnectionState,
  toLogin,
} from '../../server.ts';
import { changed, itemOf, matches, placeOf, withFirst, withRow } from './job-rows.ts';

const PAGE = 100;
/** Changes come in crowds. */
const GATHER_MS = 250;
/** Between two rounds of questions to the server. */
const ROUND_MS = 700;
/** The list of the server may be some seconds behind a flood of new jobs: it is read once more. */
const SETTLE_MS = 3000;
/** More changed jobs than this: the first page is read instead. */
const MAX_SINGLE = 10;
/** So many pages are read at once. With more new jobs than that the list begins again. */
const MAX_NEW_PAGES = 10;
const MAX_REMEMBERED = 2000;

export interface JobList {
  readonly rows: readonly JobListItem[];
  /** Null: the last row is the last job. */
  readonly nextCursor: string | null;
  readonly loaded: boolean;
  readonly error: Error | null;
  loadMore(): void;
  reload(): void;
}

/** The list as it was left: the back button returns to it, at the same place. */
let left: { readonly key: string; readonly list: Reader } | null = null;

export function useJobs(filter: JobFilter): JobList {
  const key = JSON.stringify(filter);
  const [, render] = useReducer((n: number) => n + 1, 0);
  const reader = useRef<Reader | null>(null);
  if (reader.current?.key !== key) reader.current = left?.key === key ? left.list : new Reader(key, filter);
  const list = reader.current;
  useEffect(() => {
    left = { key, list };
    list.begin(() => render(0));
    return () => list.end();
  }, [list, key]);
  return list;
}

class Reader implements JobList {
  rows: readonly JobListItem[] = [];
  nextCursor: string | null = null;
  loaded = false;
  error: Error | null = null;
  readonly key: string;
  readonly #filter: JobFilter;
  /** The last change of each job. */
  readonly #latest = new Map<string, JobChange>();
  /** Jobs of which a change is not shown yet. */
  readonly #stale = new Set<string>();
  #all = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #settleTimer: ReturnType<typeof setTimeout> | undefined;
  /** The list was read once more since the last change. */
  #isSettled = false;
  #stop = new AbortController();
  #stops: readonly (() => void)[] = [];
  #busy = false;
  #isLoadingMore = false;
  #render: () => void = () => {};

  constructor(key: string, filter: JobFilter) {
    this.key = key;
    this.#filter = filter;
  }

  begin(render: () => void): void {
    this.#render = render;
    this.#stop = new AbortController();
    let wasAway = false;
    this.#stops = [
      onChange((change) => this.#take(change)),
      onConnectionState(() => {
        if (connectionState() === 'connected' && wasAway) this.reload();
        wasAway = connectionState() === 'reconnecting';
      }),
    ];
    this.reload();
  }

  end(): void {
    this.#render = () => {};
    for (const stop of this.#stops) stop();
    this.#stop.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#settleTimer);
    this.#timer = undefined;
    this.#isSettled = false;
    this.#busy = false;
    this.#isLoadingMore = false;
  }

  reload(): void {
    this.#all = true;
    this.#soon(0);
  }

  readonly loadMore = (): void => {
    const cursor = this.nextCursor;
    if (cursor === null || this.#isLoadingMore) return;
    this.#isLoadingMore = true;
    const { signal } = this.#stop;
    void this.#try(signal, async () => {
      const page = await client.list({ ...this.#filter, limit: PAGE, cursor }, { signal });
      if (signal.aborted) return;
      const last = this.rows.at(-1)?.id ?? '~';
      this.rows = [...this.rows, ...page.data.filter(({ id }) => id < last)];
      this.nextCursor = page.nextCursor;
    }).finally(() => {
      if (!signal.aborted) this.#isLoadingMore = false;
    });
  };

  #take(change: Changed): void {
    if (change.kind === 'snapshot') this.reload();
    if (!('rev' in change)) return;
    const known = this.#latest.get(change.jobId);
    const isDeleted = change.kind === 'job.deleted';
    if (known !== undefined && known.rev >= change.rev && !isDeleted) return;
    this.#latest.set(change.jobId, change);
    if (this.#latest.size > MAX_REMEMBERED)
      for (const id of [...this.#latest.keys()].slice(0, MAX_REMEMBERED / 2)) this.#latest.delete(id);
    this.#stale.add(change.jobId);
    this.#isSettled = false;
    this.#soon(GATHER_MS);
  }

  #soon(waitMs: number): void {
    if (this.#busy || (this.#timer !== undefined && waitMs > 0)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#round(), waitMs);
  }

  #settle(): void {
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => {
      this.#isSettled = true;
      this.reload();
    }, SETTLE_MS);
  }

  async #round(): Promise<void> {
    this.#timer = undefined;
    this.#busy = true;
    const { signal } = this.#stop;
    await this.#try(signal, () => this.#update(signal));
    if (signal.aborted) return;
    this.#busy = false;
    if (this.#all || this.#stale.size > 0) this.#soon(ROUND_MS);
    else if (!this.#isSettled) this.#settle();
  }

  async #update(signal: AbortSignal): Promise<void> {
    this.#show();
    const isBelow = (id: string): boolean => this.nextCursor !== null && id < (this.rows.at(-1)?.id ?? '');
    for (const id of this.#stale) if (isBelow(id)) this.#stale.delete(id);
    if (this.#all || this.#stale.size > MAX_SINGLE) await this.#readFirst(signal);
    const some = [...this.#stale].slice(0, MAX_SINGLE);
    for (const id of some) this.#stale.delete(id);
    await Promise.all(some.map((id) => this.#readOne(id, signal)));
  }

  /** Shows what the changes themselves say. */
  #show(): void {
    let rows: JobListItem[] | null = null;
    for (const id of this.#stale) {
      if (this.#latest.get(id)?.kind === 'job.deleted') {
        rows = [...withRow(rows ?? this.rows, id, null)];
        this.#stale.delete(id);
        continue;
      }
      const [change, at] = [this.#latest.get(id), placeOf(rows ?? this.rows, id)];
      const row: JobListItem | undefined = (rows ?? this.rows)[at];
      if (row?.id !== id || change === undefined) continue;
      rows ??= [...this.rows];
      rows[at] = changed(row, change);
    }
    if (rows === null) return;
    this.rows = rows;
    this.#render();
  }

  async #readFirst(signal: AbortSignal): Promise<void> {
    this.#all = false;
    const newest = this.rows[0]?.id;
    const first: JobListItem[] = [];
    let cursor: string | null = null;
    for (let pages = 0; pages < MAX_NEW_PAGES; pages += 1) {
      const query = { ...this.#filter, limit: PAGE, ...(cursor === null ? {} : { cursor }) };
      const page = await client.list(query, { signal });
      if (signal.aborted) return;
      first.push(...page.data);
      cursor = page.nextCursor;
      const last = page.data.at(-1)?.id;
      if (newest === undefined || cursor === null || last === undefined) break;
      // Many changed rows further down are read in pages, too, not one by one.
      const below = [...this.#stale].filter((id) => id < last).length;
      if (last <= newest && below <= MAX_SINGLE) break;
    }
    const last = first.at(-1)?.id ?? '';
    for (const id of this.#stale) if (id >= last && this.#isShown(first, id)) this.#stale.delete(id);
    const meets = newest !== undefined && cursor !== null && last <= newest;
    const rows = meets ? withFirst(this.rows, first) : first;
    if (!meets || rows.length === first.length) this.nextCursor = cursor;
    this.rows = rows;
    this.loaded = true;
  }

  /** The list may be behind the changes after a flood of new jobs. */
  #isShown(rows: readonly JobListItem[], id: string): boolean {
    const row = rows[placeOf(rows, id)];
    return row?.id === id && row.status === this.#latest.get(id)?.status;
  }

  async #readOne(id: string, signal: AbortSignal): Promise<void> {
    try {
      const job = await client.get(id, { signal });
      if (signal.aborted) return;
      this.rows = withRow(this.rows, id, matches(this.#filter, job) ? itemOf(job) : null);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      this.rows = withRow(this.rows, id, null);
    }
  }

  async #try(signal: AbortSignal, what: () => Promise<void>): Promise<void> {
    try {
      await what();
      this.error = null;
    } catch (error) {
      if (signal.aborted) return;
      if (isUnauthenticated(error)) return toLogin();
      this.error = error instanceof Error ? error : new Error(String(error));
    }
    if (!signal.aborted) this.#render();
  }
}
