/** The log of record changes in pieces: many changes are read at once, and the jobs among them are copied in steps. */
import type { Redis } from 'ioredis';

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
): Promise<LogPiece | null> {
  const entries = (await redis.xrange(log, `(${after}`, '+', 'COUNT', LENGTH)) as Entry[]; // ids and fields
  const last = entries.at(-1);
  if (last === undefined) return null;
  const changed = new Set<string>();
  const removed = new Set<string>();
  for (const [, [kind, id = '']] of entries) (kind === 'd' ? removed : changed).add(id);
  return { changed: [...changed].filter((id) => !removed.has(id)), removed: [...removed], last: last[0] };
}
