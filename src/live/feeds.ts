/** What a subscription reads: a session, a job, or all changes that the caller may see. */
import { mayUse, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import { type EventFilter, peek } from '../events/sent-events.ts';
import type { ChangeFeed, EventHub, Jobs } from '../http/ports.ts';
import type { SessionFeed, Sessions } from '../http/session-ports.ts';
import { CURSOR } from '../protocol/change.ts';
import { isFinished, JOB_STATUSES } from '../protocol/job.ts';
import type { Scope } from '../protocol/key.ts';
import type { LiveAnswer, LiveRequest, LiveSnapshot } from '../protocol/live.ts';
import { invalid } from '../protocol/problem.ts';
import { SESSION_STATUSES } from '../protocol/session.ts';
import { demand, jobOf, LIVE_ACCESS, sessionOf } from './commands.ts';
import { changeOutput, jobOutput, sessionOutput, type Target } from './encoding.ts';

/** Most jobs, and most sessions, of a snapshot. */
const MAX_SNAPSHOT = 1000;
const PAGE = 100;

export interface LiveFeeds {
  readonly jobs: Pick<Jobs, 'get' | 'list'>;
  readonly sessions: Pick<Sessions, 'get' | 'list'>;
  readonly events: EventHub;
  readonly sessionFeed: SessionFeed;
  readonly changes: ChangeFeed;
}

export type Subscribe = Extract<LiveRequest, { type: 'command' }> & {
  readonly data: Extract<Extract<LiveRequest, { type: 'command' }>['data'], { command: 'subscribe' }>;
};

export interface Feed {
  readonly target: Target;
  /** What its reader must be allowed to do. */
  readonly scope: Scope;
  /** The answer to the `subscribe`. */
  readonly answer: LiveAnswer;
  /** Encoded messages, in groups. They must be read to the end of the first group at least. */
  readonly groups: AsyncIterable<Iterable<Buffer>>;
}

/** Opens what a `subscribe` names, until `signal` aborts. It throws what HTTP would answer. */
export function createFeeds({ jobs, sessions, events, sessionFeed, changes }: LiveFeeds) {
  async function ofSession(principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed> {
    demand(principal, LIVE_ACCESS.readSession);
    const { id, status } = await sessions.get(principal, sessionOf(request));
    const filter = filterOf(request);
    const batches = sessionFeed.read(id, request.seq ?? null, signal);
    return {
      target: { session_id: id },
      scope: LIVE_ACCESS.readSession,
      answer: { command: 'subscribe', status },
      groups: encoded(batches, (event) => sessionOutput(event, filter)),
    };
  }

  async function ofJob(principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed> {
    demand(principal, LIVE_ACCESS.readJob);
    const { id, status } = await jobs.get(principal, jobOf(request));
    const filter = filterOf(request);
    const batches = events.read(id, request.seq ?? 0, signal);
    return {
      target: { job_id: id },
      scope: LIVE_ACCESS.readJob,
      answer: { command: 'subscribe', status },
      groups: encoded(batches, (event) => jobOutput(event, filter)),
    };
  }

  async function ofAll(principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed> {
    demand(principal, LIVE_ACCESS.readJob);
    if (request.seq !== undefined)
      throw invalid([{ path: '/seq', message: 'is of one session or job; all changes have a cursor' }]);
    const { after = null } = request.data;
    if (after !== null && !CURSOR.test(after))
      throw invalid([{ path: '/data/after', message: 'must be a cursor' }]);
    const filter = filterOf(request);
    // It has joined the log with its first change, so the snapshot misses nothing.
    const batches = await peek(changes.read(principal, { after, status: [], batch: null }, signal));
    if (batches === null) throw new AppError('server.stopping', 'the connection is closing');
    try {
      const snapshot = after === null ? await snapshotFor(principal) : null;
      return {
        target: {},
        scope: LIVE_ACCESS.readJob,
        answer: { command: 'subscribe', ...(snapshot !== null && { snapshot }) },
        groups: encoded(batches, (change) => changeOutput(change, filter)),
      };
    } catch (error) {
      for await (const _ of batches) break; // leaves the log
      throw error;
    }
  }

  async function snapshotFor(principal: Principal): Promise<LiveSnapshot> {
    const status = JOB_STATUSES.filter((one) => !isFinished(one));
    const open = await collect((page) => jobs.list(principal, { status, ...page }));
    const statuses = SESSION_STATUSES.filter((one) => one !== 'closed');
    const query = { status: statuses, kind: null, provider: null, tag: [], q: null, all: false };
    const known = mayUse(principal, LIVE_ACCESS.readSession)
      ? await collect((page) => sessions.list(principal, { ...query, ...page }))
      : { items: [], cut: false };
    return { jobs: open.items, sessions: known.items, cut: open.cut || known.cut };
  }

  return async (principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed> => {
    const isWide = request.session_id === undefined && request.job_id === undefined;
    if (!isWide && request.data.after !== undefined)
      throw invalid([{ path: '/data/after', message: 'is for all changes; one session or job has seq' }]);
    if (isWide) return ofAll(principal, request, signal);
    return request.job_id === undefined
      ? ofSession(principal, request, signal)
      : ofJob(principal, request, signal);
  };
}

const filterOf = ({ data: { kinds } }: Subscribe): EventFilter => ({
  kinds: kinds === undefined ? null : new Set(kinds),
  raw: false,
});

interface Page {
  readonly limit: number;
  readonly cursor: string | null;
}

/** The items of the first pages. */
async function collect<T>(
  list: (page: Page) => Promise<{ readonly data: readonly T[]; readonly nextCursor: string | null }>,
): Promise<{ readonly items: readonly T[]; readonly cut: boolean }> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: { readonly data: readonly T[]; readonly nextCursor: string | null } = await list({
      limit: PAGE,
      cursor,
    });
    items.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null && items.length < MAX_SNAPSHOT);
  return { items, cut: cursor !== null };
}

async function* encoded<Event>(
  batches: AsyncIterable<readonly Event[]>,
  encode: (event: Event) => Buffer | null,
): AsyncGenerator<Iterable<Buffer>> {
  for await (const batch of batches) yield each(batch, encode);
}

/** Encodes an event when its reader gets there. */
function* each<Event>(batch: readonly Event[], encode: (event: Event) => Buffer | null): Generator<Buffer> {
  for (const event of batch) {
    const text = encode(event);
    if (text !== null) yield text;
  }
}
