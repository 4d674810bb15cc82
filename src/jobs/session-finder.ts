/** Finds sessions: the truth is the record; until its second job a session is that of its job. */
import { maySee, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import type { JobRecords } from '../records/ports.ts';
import { optionsOf } from '../records/session-codec.ts';
import type { SessionOptions, SessionRecord, SessionRecords } from '../records/session-ports.ts';
import type { Copier } from '../store/copier.ts';
import type { JobCopy } from '../store/jobs.ts';
import type { SessionRow } from '../store/session-rows.ts';
import type { Store } from '../store/store.ts';
import { rowOf } from './session-document.ts';

/** Jobs among which a signed one is looked for. */
const OLDEST = 20;

export interface SessionFinderOptions {
  readonly sessionRecords: Pick<SessionRecords, 'read'>;
  readonly records: Pick<JobRecords, 'read'>;
  readonly store: Store;
  readonly copier: Pick<Copier, 'catchUp'>;
}

export interface FoundSession {
  readonly row: SessionRow;
  /** Null: a single job made it, or Redis no longer has it. */
  readonly record: SessionRecord | null;
}

export interface SessionFinder {
  /** @throws AppError session.not_found, including for another project's */
  find(principal: Principal, id: string): Promise<FoundSession>;
  /**
   * What holds for its next turn.
   * @throws AppError auth.unsigned
   */
  options(found: FoundSession): Promise<SessionOptions>;
}

/**
 * Refuses a terminal whose record another client of Redis may have changed: its project says who
 * may type.
 * @throws AppError auth.unsigned
 */
export function refuseUnsigned({ row, record }: FoundSession): void {
  if (row.kind === 'terminal' && record?.signed === false) throw unsigned('record');
}

export function createSessionFinder({
  sessionRecords,
  records,
  store,
  copier,
}: SessionFinderOptions): SessionFinder {
  /**
   * Of the jobs of a session whose first job was deleted. Null: none of the oldest is signed, or
   * it is of another project than the unsigned record says.
   */
  async function oldestSigned({ id, project }: SessionRow): Promise<JobCopy | null> {
    const { data } = await store.run('sessions.turns', { id, limit: OLDEST, cursor: null });
    for (const { jobId } of data) {
      const job = await store.run('jobs.get', { id: jobId });
      if (job?.forged === false) return job.project === project ? job : null;
    }
    return null;
  }

  return {
    async find(principal, id) {
      const record = await sessionRecords.read(id);
      if (record !== null && !maySee(principal, record.project)) throw sessionNotFound(id);
      await copier.catchUp();
      const row =
        record === null
          ? await store.run('sessions.get', { id })
          : rowOf(record, await store.run('sessions.usage', { id }));
      if (row === null || !maySee(principal, row.project)) throw sessionNotFound(id);
      return { row, record };
    },

    async options({ row, record }) {
      if (record?.signed) return record.options;
      const own = (await records.read(row.id)) ?? (await store.run('jobs.get', { id: row.id }));
      if (own?.forged) throw unsigned('request');
      const first = own ?? (record?.explicit ? null : await oldestSigned(row));
      if (first === null && record !== null) throw unsigned('request');
      return first === null ? { provider: row.provider, cwd: row.cwd } : optionsOf(first.request);
    },
  };
}

const unsigned = (what: string): AppError =>
  new AppError('auth.unsigned', `the ${what} of the session is not signed by this server`);

export const sessionNotFound = (id: string): AppError =>
  new AppError('session.not_found', `there is no session ${id}`);

/** @throws AppError session.wrong_kind */
export function refuseTerminal({ row }: FoundSession, what: string): void {
  if (row.kind === 'terminal') throw new AppError('session.wrong_kind', `a terminal ${what}`);
}
