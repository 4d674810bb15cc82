/** The log of record changes in pieces: many changes are read at once, and the jobs among them are copied in steps. */

import type { Redis } from 'ioredis';
import type { ReportDamage } from '../damage.ts';
import { ULID } from '../protocol/schema.ts';

/** Changes in a piece: a job that changed several times among them is copied once. */
const LENGTH = 400;

type Entry = readonly [id: string, fields: readonly string[]];

export interface LogPiece {
  /** Ids of the jobs to be copied, each once and none of `removed`. */
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Its last entry: the position in the log when all of it is copied. */
  readonly last: string;
}

/** What the log has after a position; null when there is nothing. */
export async function readLogPiece(
  redis: Pick<Redis, 'xrange'>,
  log: string,
  after: string,
  report: ReportDamage,
): Promise<LogPiece | null> {
  const entries = (await redis.xrange(log, `(${after}`, '+', 'COUNT', LENGTH)) as Entry[]; // ids and fields
  const last = entries.at(-1);
  if (last === undefined) return null;
  const changed = new Set<string>();
  const removed = new Set<string>();
  for (const [entry, [kind, id = '']] of entries) {
    if ((kind === 'j' || kind === 'd') && ULID.test(id)) (kind === 'd' ? removed : changed).add(id);
    else report({ kind: 'log', id: entry, why: 'it names no job' });
  }
  return { changed: [...changed].filter((id) => !removed.has(id)), removed: [...removed], last: last[0] };
}

/** Whether stream id `a` comes before `b`. */
export function streamIdBefore(a: string, b: string): boolean {
  const [aMs = 0, aSeq = 0] = a.split('-').map(Number);
  const [bMs = 0, bSeq = 0] = b.split('-').map(Number);
  return aMs < bMs || (aMs === bMs && aSeq < bSeq);
}
