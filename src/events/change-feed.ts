/**
 * ⑦ The changes of all jobs for any number of readers, from the log in Redis: first those after the
 * reader's cursor, then new ones. All readers of a node share one read of Redis for new changes. A
 * reader that is too slow is cut and resumes by its cursor.
 */
import type { Logger } from 'pino';
import { maySee, maySeeGate, mayUse, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { ChangeFeed, ChangeQuery, LogGroup } from '../http/ports.ts';
import type { Change } from '../protocol/change.ts';
import { type ChangeLog, LOG_START, type LogEntry } from '../records/change-log.ts';
import type { Doorbells } from '../redis/doorbells.ts';
import { streamIdBefore } from '../store/copy-source.ts';
import { createInbox, createTail, type Tail } from './tail.ts';

const PAGE = 1000;
/** A reader that is more changes behind is cut. */
const MAX_BEHIND = 20_000;
const POLL_MS = 1000;
/** A reader who may see none of the changes gets a newer cursor this often, or its own expires. */
const CURSOR_EVERY_MS = 15_000;

export interface ChangeFeedOptions {
  readonly log: ChangeLog;
  readonly doorbells: Doorbells;
  readonly channel: string;
  /** How long Redis keeps the log. */
  readonly keepMs: number;
  readonly cursorEveryMs?: number;
  readonly logger: Logger;
}

export function createChangeFeed({
  log,
  doorbells,
  channel,
  keepMs,
  cursorEveryMs = CURSOR_EVERY_MS,
  logger,
}: ChangeFeedOptions): ChangeFeed {
  let current: Tail<LogEntry, string> | null = null;
  /** Reads of earlier changes under way, by cursor: after a restart many ask for the same. */
  const reads = new Map<string, Promise<readonly LogEntry[]>>();

  function tail(): Tail<LogEntry, string> {
    if (current !== null) return current;
    let logId: string | null = null;
    const created = createTail<LogEntry, string>({
      channel,
      doorbells,
      pollMs: POLL_MS,
      async newest() {
        logId = await log.id();
        return log.newest();
      },
      pageSize: PAGE,
      async read(after) {
        try {
          return await log.after(after, PAGE);
        } catch (error) {
          if (!(await isTrimmed(error, after, logId))) throw error;
          return log.after(LOG_START, PAGE);
        }
      },
      placeOf: ({ cursor }) => cursor,
      onEnd() {
        if (current === created) current = null;
      },
      logger,
    });
    current = created;
    return created;
  }

  /**
   * Whether the last entry that the tail has read is gone only because of its age, after a long
   * time without changes. Every entry that is kept is newer then.
   */
  async function isTrimmed(error: unknown, cursor: string, logId: string | null): Promise<boolean> {
    if (!(error instanceof AppError) || error.code !== 'events.expired') return false;
    const ageMs = Date.now() - Number.parseInt(cursor, 10);
    return ageMs > keepMs && logId !== null && (await log.id()) === logId;
  }

  function stored(after: string): Promise<readonly LogEntry[]> {
    const underWay = reads.get(after);
    if (underWay !== undefined) return underWay;
    const reading = log.after(after, PAGE).finally(() => reads.delete(after));
    reads.set(after, reading);
    return reading;
  }

  /** The entries after a cursor up to now, then new ones, in order. The first batch is empty. */
  async function* follow(given: string | null, signal: AbortSignal): AsyncGenerator<LogGroup> {
    const after = given === '0' ? LOG_START : given;
    const inbox = createInbox<LogEntry>(signal, MAX_BEHIND);
    const joined = tail();
    try {
      await log.id(); // fails in time while Redis is away; joining would wait for it
      await joined.join(inbox);
      const place = joined.place ?? LOG_START; // the inbox gets everything after it
      let cursor = after ?? place;
      let page = after === null ? [] : await stored(after);
      yield { cursor, entries: [] };
      for (let last = page.at(-1); last !== undefined; last = page.at(-1)) {
        cursor = last.cursor;
        yield { cursor, entries: page };
        page = streamIdBefore(cursor, place) ? await stored(cursor) : [];
      }
      for (;;) {
        const taken = await inbox.next();
        if (taken === null) return;
        const entries = taken.filter((entry) => streamIdBefore(cursor, entry.cursor));
        cursor = entries.at(-1)?.cursor ?? cursor;
        yield { cursor, entries };
      }
    } finally {
      await joined.leave(inbox);
    }
  }

  return {
    follow,

    async *read(principal, query, signal) {
      let sentAt = Number.NEGATIVE_INFINITY;
      for await (const { cursor, entries } of follow(query.after, signal)) {
        const changes: readonly Change[] = entries.flatMap((entry) => changeFor(principal, query, entry));
        const isDue = performance.now() - sentAt >= cursorEveryMs;
        if (changes.length === 0 && !isDue) continue;
        sentAt = performance.now();
        yield changes.length > 0 ? changes : [{ cursor, kind: 'cursor', at: new Date().toISOString() }];
      }
    },
  };
}

/** The change of an entry, if the reader may see it and asked for it. */
function changeFor(principal: Principal, { status, batch }: ChangeQuery, entry: LogEntry): readonly Change[] {
  const { change, gate, approval, session } = entry;
  const isUnfiltered = status.length === 0 && batch === null;
  if (gate !== null) return isUnfiltered && maySeeGate(principal, gate.gate) ? [gate] : [];
  if (approval !== null) {
    const mayKnow = maySee(principal, entry.project) && mayUse(principal, 'approvals:read');
    return isUnfiltered && mayKnow ? [approval] : [];
  }
  if (session !== null) {
    const mayKnow = maySee(principal, entry.project) && mayUse(principal, 'sessions:read');
    return isUnfiltered && mayKnow ? [session] : [];
  }
  if (change === null || !maySee(principal, entry.project)) return [];
  const isAsked = status.length === 0 || status.includes(change.status);
  return isAsked && (batch === null || batch === change.batchId) ? [change] : [];
}
