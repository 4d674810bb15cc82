/** What is stored and cannot be read. Each costs itself alone: it is passed over, logged once, and counted. */
import type { Logger } from 'pino';

export interface Damage {
  /** A job's or batch's record and an event or entry of the log in Redis; a row of the ledger. */
  readonly kind: 'job' | 'batch' | 'event' | 'log' | 'row';
  readonly id: string;
  readonly why: string;
}

export type ReportDamage = (damage: Damage) => void;

export interface DamageReports {
  readonly report: ReportDamage;
  /** How many of each kind since the start; one that is met again is not counted again. */
  counts(): Readonly<Record<Damage['kind'], number>>;
  /** The last one, in words; null when there was none. */
  latest(): string | null;
}

/** How many are known by name: what was met before them may be logged again. */
const MAX_KNOWN = 10_000;

export function createDamageReports(logger: Logger): DamageReports {
  const known = new Set<string>();
  const counts = { job: 0, batch: 0, event: 0, log: 0, row: 0 };
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
      logger.error(damage, 'something stored cannot be read and is passed over');
    },
    counts: () => ({ ...counts }),
    latest: () => latest,
  };
}
