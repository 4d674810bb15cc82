/** Reads sessions for their copies. */
import { isDamage } from '../errors.ts';
import type { SessionEntry, SessionRecords } from '../records/session-ports.ts';
import type { SessionCopy } from './session-copies.ts';
import type { Store } from './store.ts';

const PAGE = 1000;

/** The sessions that Redis still has and that can be read, with the entries that are new here. */
export async function readSessions(
  records: Pick<SessionRecords, 'read' | 'entries'>,
  ids: readonly string[],
  store: Pick<Store, 'run'>,
): Promise<readonly SessionCopy[]> {
  const copies: SessionCopy[] = [];
  for (const id of ids) {
    const record = await records.read(id).catch((error: unknown) => {
      if (isDamage(error)) return null; // reported where it was read
      throw error;
    });
    // Another client of Redis has changed its options: the copy keeps those that were signed.
    if (record === null || (record.explicit && !record.signed)) continue;
    const entries: SessionEntry[] = [];
    for (let after = await store.run('sessions.copied', { id }); ; ) {
      const page = (await records.entries(id, after, PAGE)) ?? [];
      entries.push(...page);
      after = page.at(-1)?.seq ?? after;
      if (page.length < PAGE) break;
    }
    copies.push({ record, entries });
  }
  return copies;
}
