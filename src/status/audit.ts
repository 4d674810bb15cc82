/**
 * Reads and checks the audit of this node, and notes acts that have no record. The last link of the
 * chain is also kept outside the ledger, in Redis: it shows that rows were removed from the end, or
 * that another chain took the place of this one.
 */
import type { Logger } from 'pino';
import { type Principal, projectOf } from '../auth/principal.ts';
import { messageOf } from '../errors.ts';
import type { Audit } from '../http/ports.ts';
import type { AuditHead, AuditVerification } from '../protocol/audit.ts';
import type { AuditLog } from '../records/audit-log.ts';
import type { CheckedLinks } from '../store/audit.ts';
import type { Copier } from '../store/copier.ts';
import type { Store } from '../store/store.ts';

/** Rows in one step of a check, or of a removal. */
const STEP = 2000;

type Problem = NonNullable<AuditVerification['problem']>;

/** Keeps the last link of this node's chain in Redis. */
export interface AuditHeads {
  /** Notes a new last link, unless the chain does not continue the one that was noted last. */
  note(head: AuditHead): Promise<void>;
}

export function createAuditHeads({
  log,
  store,
  logger,
}: {
  readonly log: Pick<AuditLog, 'head' | 'noteHead'>;
  readonly store: Pick<Store, 'run'>;
  readonly logger: Logger;
}): AuditHeads {
  let state: 'unknown' | 'continues' | 'broken' = 'unknown';

  async function compare(head: AuditHead): Promise<typeof state> {
    const noted = await log.head();
    if (noted === null) return 'continues';
    // The ledger may be an older copy, which gets the rest from the log.
    if (noted.seq > head.seq) return 'unknown';
    const hash = await store.run('audit.hash', { seq: noted.seq });
    if (hash === noted.hash) return 'continues';
    logger.error('the audit in the ledger was changed or cut; bullpen audit verify says where');
    return 'broken';
  }

  return {
    async note(head) {
      if (state === 'unknown') state = await compare(head);
      if (state === 'continues') await log.noteHead(head);
    },
  };
}

export function createAudit({
  log,
  store,
  copier,
  logger,
}: {
  readonly log: Pick<AuditLog, 'append' | 'head'>;
  readonly store: Pick<Store, 'run'>;
  readonly copier: Pick<Copier, 'catchUp'>;
  readonly logger: Logger;
}): Audit {
  /** Why a link does not fit the chain; null: it fits. */
  async function misfit(link: AuditHead | null, where: string): Promise<Problem | null> {
    if (link === null) return null;
    const hash = await store.run('audit.hash', { seq: link.seq });
    if (hash === link.hash) return null;
    const why = hash === null ? 'is missing' : 'has another hash';
    return { seq: link.seq, why: `it ${why}: ${where} has the hash ${link.hash}` };
  }

  return {
    note(by, act) {
      log.append(by, act).catch((error: unknown) => {
        const reason = messageOf(error);
        logger.warn({ ...act, principal: by.id, address: by.address, reason }, 'an act is not in the audit');
      });
    },

    async list(principal: Principal, query) {
      await copier.catchUp();
      return store.run('audit.list', { project: projectOf(principal), query });
    },

    async verify(given) {
      await copier.catchUp();
      const noted = await log.head();
      let entries = 0;
      let head: AuditHead | null = null;
      for (let more = true; more; ) {
        const step: CheckedLinks = await store.run('audit.check', { after: head, limit: STEP });
        entries += step.checked;
        if (step.problem !== null) return { ok: false, entries, head: step.last, problem: step.problem };
        ({ last: head, more } = step);
      }
      const problem =
        (await misfit(noted, 'the last link in Redis')) ?? (await misfit(given, 'the given link'));
      return { ok: problem === null, entries, head, problem };
    },
  };
}

/** Removes the entries of days that ended more than `keepMs` ago. */
export async function trimAudit(
  {
    store,
    heads,
    signal,
  }: {
    readonly store: Pick<Store, 'run'>;
    readonly heads: AuditHeads;
    readonly signal: AbortSignal;
  },
  keepMs: number,
): Promise<void> {
  const DAY_MS = 86_400_000;
  const before = Math.floor((Date.now() - keepMs) / DAY_MS) * DAY_MS;
  while (!signal.aborted) {
    const head = await store.run('audit.trim', { before, now: Date.now(), limit: STEP });
    if (head === null) return;
    await heads.note(head);
  }
}
