/** The events of finished jobs on their way from their streams into the store, which keeps each text as it is. */
import type { Redis } from 'ioredis';
import type { EventBody } from '../protocol/event.ts';
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
): EventCopies {
  async function page(jobId: string, after: number): Promise<EventCopy[]> {
    const entries = (await redis.xrange(keyOf(jobId), `${after + 1}-0`, '+', 'COUNT', PAGE)) as Entry[]; // ids and fields
    return entries.map((entry) => copyOf(jobId, entry));
  }

  return {
    async read(jobs, keep) {
      let copies: EventCopy[] = [];
      for (const group of together(jobs)) {
        if (copies.length > 0) await keep(copies);
        copies = (await Promise.all(group.map(({ id }) => page(id, 0)))).flat();
        const [{ id, lastSeq }] = group;
        // Only one that stands alone has more than a page.
        for (let last = copies.at(-1); last !== undefined && group.length === 1 && last.seq < lastSeq; ) {
          await keep(copies);
          copies = await page(id, last.seq);
          last = copies.at(-1);
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

/** What `JSON.stringify` and the scripts begin an event with; one that begins otherwise is parsed. */
const KIND = /^\{"kind":"([a-z_.]+)"/;

/** One entry of a stream; its id is the event's seq. The text of its body is kept, not parsed and written again. */
function copyOf(jobId: string, [id, fields]: Entry): EventCopy {
  const field = (name: string): string | null => {
    for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1] ?? null;
    return null;
  };
  const text = field('e') ?? '{}';
  const known = KIND.exec(text)?.[1];
  const parsed = known === undefined || known === 'job.scheduled' ? (JSON.parse(text) as EventBody) : null; // written by our scripts and executor
  return {
    jobId,
    seq: Number.parseInt(id, 10),
    attempt: Number(field('a')),
    kind: parsed?.kind ?? known ?? '',
    at: new Date(Number(field('t'))).toISOString(),
    body:
      parsed?.kind === 'job.scheduled'
        ? JSON.stringify({ ...parsed, scheduledFor: new Date(parsed.scheduledFor).toISOString() })
        : text,
    raw: field('r'),
  };
}
