/**
 * Stored data that cannot be read. It is skipped, logged once, and counted; other data is not
 * affected.
 */
import type { Logger } from 'pino';

export interface Damage {
  /** `row`: of the ledger. The others: records, events, log entries and keys in Redis. */
  readonly kind: 'job' | 'session' | 'approval' | 'batch' | 'event' | 'log' | 'row' | 'key';
  readonly id: string;
  readonly why: string;
}

export type ReportDamage = (damage: Damage) => void;

export interface DamageReports {
  readonly report: ReportDamage;
  /** Counts per kind since the start. The same damage counts once. */
  counts(): Readonly<Record<Damage['kind'], number>>;
  /** The last damage, in words; null: none. */
  latest(): string | null;
}

/** Known damages; older ones may be logged again. */
const MAX_KNOWN = 10_000;

export function createDamageReports(logger: Logger): DamageReports {
  const known = new Set<string>();
  const counts = { job: 0, session: 0, approval: 0, batch: 0, event: 0, log: 0, row: 0, key: 0 };
  let latest: string | null = null;
  return {
    report(damage) {
      const { kind, id, why } = damage;
      const name = `${kind} ${id}`;
      if (known.has(name)) return;
      known.add(name);
      const [oldest] = known;
      if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
      counts[kind] += 1;
      latest = `${name}: ${why}`;
      logger.error(damage, 'stored data cannot be read and is skipped');
    },
    counts: () => ({ ...counts }),
    latest: () => latest,
  };
}
