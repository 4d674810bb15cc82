/** The stored events of finished jobs. */
import type { DatabaseSync } from 'node:sqlite';
import { type StoredEvent, withPresentKind } from '../protocol/event.ts';
import { all, change, first, readable, reportRow } from './sql.ts';

/** An event of a job's stream. */
export interface EventCopy {
  readonly jobId: string;
  readonly seq: number;
  readonly attempt: number;
  readonly kind: string;
  readonly at: string;
  /** The event's own JSON text. */
  readonly body: string;
  /** The CLI's line it came from. */
  readonly raw: string | null;
}

/** Stores an event. Returns 0 when it is stored already, or is not JSON. */
export function insertEvent(db: DatabaseSync, copy: EventCopy): number {
  const { jobId, seq, attempt, kind, at, body, raw } = copy;
  const sql = `INSERT INTO events (job_id, seq, attempt, kind, at, body, raw) SELECT ?, ?, ?, ?, ?, ?, ?
               WHERE json_valid(?) ON CONFLICT (job_id, seq) DO NOTHING`;
  const inserted = change(db, sql, jobId, seq, attempt, kind, at, body, raw, body);
  if (inserted === 0 && first(db, 'SELECT 1 WHERE json_valid(?)', body) === null)
    reportRow(`event ${jobId}/${seq}`, 'its body is not JSON');
  return inserted;
}

export const eventWrites = {
  /** Stores events of the job's stream. Leaves events alone that are stored already. */
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
  /** 0: the job has no stored events. */
  'events.lastSeq'(db: DatabaseSync, args: { readonly jobId: string }): number {
    const sql = 'SELECT max(seq) AS seq FROM events WHERE job_id = ?';
    return first<{ seq: number | null }>(db, sql, args.jobId)?.seq ?? 0;
  },

  /** Up to `limit` events with seq > `after`, in order. */
  'events.read'(
    db: DatabaseSync,
    args: { readonly jobId: string; readonly after: number; readonly limit: number },
  ): StoredEvent[] {
    const { jobId, limit } = args;
    const sql =
      'SELECT seq, attempt, kind, at, body, raw FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?';
    for (let { after } = args; ; ) {
      const rows = all<Omit<EventCopy, 'jobId'>>(db, sql, jobId, after, limit);
      const events = rows.flatMap(({ body, ...row }) =>
        // as: `events.append` took these fields apart from a StoredEvent.
        readable(`event ${jobId}/${row.seq}`, () =>
          withPresentKind({ jobId, ...row, ...JSON.parse(body) } as StoredEvent),
        ),
      );
      const last = rows.at(-1);
      if (events.length > 0 || last === undefined) return events;
      after = last.seq;
    }
  },

  /** As `events.read`, but no more than `maxBytes` of texts, except for a single longer event. */
  'events.page'(
    db: DatabaseSync,
    args: {
      readonly jobId: string;
      readonly after: number;
      readonly limit: number;
      readonly maxBytes: number;
    },
  ): StoredEvent[] {
    const { jobId, after, limit, maxBytes } = args;
    const sizes = all<{ bytes: number }>(
      db,
      `SELECT octet_length(body) + coalesce(octet_length(raw), 0) AS bytes FROM events
       WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?`,
      jobId,
      after,
      limit,
    );
    let bytes = 0;
    const over = sizes.findIndex((size) => {
      bytes += size.bytes;
      return bytes > maxBytes;
    });
    const fits = over === -1 ? sizes.length : Math.max(1, over);
    return eventReads['events.read'](db, { jobId, after, limit: fits });
  },
};
