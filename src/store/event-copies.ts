/** The events of finished jobs on their way from their streams into the store, which keeps each text as it is. */
import type { Redis } from 'ioredis';
import type { ReportDamage } from '../damage.ts';
import type { EventBody } from '../protocol/event.ts';
import { isWrongType } from '../redis/redis-error.ts';
import type { EventCopy } from './rows.ts';

/** Read or written at once, at most. */
const PAGE = 1000;

type Entry = readonly [id: string, fields: readonly string[]];

export interface EventCopies {
  /**
   * The events of these jobs, from the first to the last. At most a page is given back: what comes before it goes to
   * `keep` first, so that the memory they take does not grow with the jobs.
   */
  read(
    jobs: readonly { readonly id: string; readonly lastSeq: number }[],
    keep: (events: readonly EventCopy[]) => Promise<unknown>,
  ): Promise<readonly EventCopy[]>;
}

/** @param keyOf the stream of a job's events */
export function createEventCopies(
  redis: Pick<Redis, 'xrange'>,
  keyOf: (jobId: string) => string,
  report: ReportDamage,
): EventCopies {
  /** A page of entries, and where the next one begins; null: there is none. */
  async function page(jobId: string, from: string): Promise<{ copies: EventCopy[]; next: string | null }> {
    const read = redis.xrange(keyOf(jobId), from, '+', 'COUNT', PAGE) as Promise<Entry[]>; // ids and fields
    const entries = await read.catch((error: unknown): Entry[] => {
      if (!isWrongType(error)) throw error;
      report({ kind: 'event', id: jobId, why: 'their key is no stream' });
      return [];
    });
    const copies = entries.flatMap((entry): EventCopy[] => {
      const copy = copyOf(jobId, entry);
      if (copy === null) report({ kind: 'event', id: `${jobId}/${entry[0]}`, why: 'it cannot be read' });
      return copy === null ? [] : [copy];
    });
    const last = entries.at(-1)?.[0];
    return { copies, next: last === undefined || entries.length < PAGE ? null : `(${last}` };
  }

  return {
    async read(jobs, keep) {
      let copies: EventCopy[] = [];
      for (const group of together(jobs)) {
        if (copies.length > 0) await keep(copies);
        const pages = await Promise.all(group.map(({ id }) => page(id, '-')));
        copies = pages.flatMap((one) => one.copies);
        // Only one that stands alone has more than a page, unless others have written into its stream.
        for (const [index, { id }] of group.entries()) {
          for (let next = pages[index]?.next ?? null; next !== null; ) {
            await keep(copies);
            ({ copies, next } = await page(id, next));
          }
        }
      }
      return copies;
    },
  };
}

type Group<T> = [T, ...T[]];

/** Neighbours whose events fit one page together. */
function together<T extends { readonly lastSeq: number }>(jobs: readonly T[]): Group<T>[] {
  const groups: Group<T>[] = [];
  let events = 0;
  for (const job of jobs) {
    const group = groups.at(-1);
    events += job.lastSeq;
    if (group !== undefined && events <= PAGE) group.push(job);
    else {
      groups.push([job]);
      events = job.lastSeq;
    }
  }
  return groups;
}

const SEQ = /^(\d{1,15})-0$/;
/** The last millisecond a Date can hold. */
const MAX_TIME = 8.64e15;
/** What `JSON.stringify` and the scripts begin an event with; one that begins otherwise is parsed. */
const KIND = /^\{"kind":"([a-z_.]+)"/;

/**
 * One entry of a stream; its id is the event's seq. The text of its body is kept, not parsed and written again: whether
 * it is JSON is seen where it is written. Null: it is none of ours.
 */
function copyOf(jobId: string, [id, fields]: Entry): EventCopy | null {
  const field = (name: string): string | null => {
    for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1] ?? null;
    return null;
  };
  const seq = SEQ.exec(id)?.[1];
  const attempt = Number(field('a') ?? Number.NaN);
  const at = Number(field('t') ?? Number.NaN);
  const text = field('e');
  if (seq === undefined || !Number.isInteger(attempt) || !(at >= 0 && at <= MAX_TIME) || text === null)
    return null;
  const body = bodyOf(text);
  if (body === null) return null;
  return { jobId, seq: Number(seq), attempt, at: new Date(at).toISOString(), ...body, raw: field('r') };
}

function bodyOf(text: string): { readonly kind: string; readonly body: string } | null {
  const known = KIND.exec(text)?.[1];
  if (known !== undefined && known !== 'job.scheduled') return { kind: known, body: text };
  try {
    const parsed = JSON.parse(text) as EventBody; // written by our scripts and executor
    if (typeof parsed.kind !== 'string') return null;
    if (parsed.kind !== 'job.scheduled') return { kind: parsed.kind, body: text };
    const scheduledFor = new Date(parsed.scheduledFor).toISOString();
    return { kind: parsed.kind, body: JSON.stringify({ ...parsed, scheduledFor }) };
  } catch {
    return null;
  }
}
