import type { DatabaseSync } from 'node:sqlite';
import type { StoredEvent } from '../protocol/event.ts';
import type { EventCopy } from './rows.ts';
import { all, change } from './statement.ts';

interface EventColumns {
  readonly seq: number;
  readonly attempt: number;
  readonly kind: string;
  readonly at: string;
  readonly body: string;
  readonly raw: string | null;
}

/** Keeps one event; answers 0 when it is here already. */
export function insertEvent(db: DatabaseSync, copy: EventCopy): number {
  const { jobId, seq, attempt, kind, at, body, raw } = copy;
  const sql = `INSERT INTO events (job_id, seq, attempt, kind, at, body, raw) VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (job_id, seq) DO NOTHING`;
  return change(db, sql, jobId, seq, attempt, kind, at, body, raw);
}

export const eventWrites = {
  /** Keeps events that are in the job's stream. One that is already here is left alone. */
  'events.append'(
    db: DatabaseSync,
    args: { readonly jobId: string; readonly events: readonly StoredEvent[] },
  ): { inserted: number } {
    let inserted = 0;
    for (const stored of args.events) {
      const { seq, jobId: _, attempt, kind, at, raw, ...body } = stored;
      const text = JSON.stringify(body);
      inserted += insertEvent(db, { jobId: args.jobId, seq, attempt, kind, at, body: text, raw });
    }
    return { inserted };
  },
};

export const eventReads = {
  /** Up to `limit` events with seq > `after`, in order. */
  'events.read'(
    db: DatabaseSync,
    args: { readonly jobId: string; readonly after: number; readonly limit: number },
  ): StoredEvent[] {
    return all<EventColumns>(
      db,
      'SELECT seq, attempt, kind, at, body, raw FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?',
      args.jobId,
      args.after,
      args.limit,
    ).map(({ seq, attempt, kind, at, body, raw }) => {
      const event = { seq, jobId: args.jobId, attempt, kind, at, raw, ...JSON.parse(body) };
      // as: `events.append` took these fields apart from a StoredEvent.
      return event as StoredEvent;
    });
  },
};
