import type { Ledger, LedgerEntry } from '../../src/executor/ports.ts';
import type { Finish } from '../../src/records/ports.ts';

type Method = keyof Ledger;

/** What the ledger holds of one execution. */
export interface FakeEntry {
  readonly jobId: string;
  readonly executionId: string;
  pid: number | null;
  finish: Finish | null;
  delivered: 'no' | 'yes' | 'superseded';
}

/** The Ledger port in memory. */
export interface FakeLedger extends Ledger {
  readonly entries: ReadonlyMap<string, FakeEntry>;
  /** Every call in order: `intend e1`, `ended e1` … */
  readonly calls: readonly string[];
  /** Runs before each call of a method: holds it while it is pending, fails it when it rejects. */
  before(method: Method, hook: () => Promise<void>): void;
  /** Puts an execution there, as an earlier run left it. */
  put(entry: Pick<FakeEntry, 'jobId' | 'executionId'> & Partial<FakeEntry>): void;
}

export function createFakeLedger(): FakeLedger {
  const entries = new Map<string, FakeEntry>();
  const calls: string[] = [];
  const hooks = new Map<Method, () => Promise<void>>();

  async function enter(method: Method, executionId = ''): Promise<void> {
    calls.push(`${method} ${executionId}`.trim());
    await hooks.get(method)?.();
  }

  const toEntry = ({ jobId, executionId, finish }: FakeEntry): LedgerEntry => ({
    jobId,
    executionId,
    finish,
  });

  return {
    entries,
    calls,
    before: (method, hook) => void hooks.set(method, hook),
    put(entry) {
      entries.set(entry.executionId, { pid: null, finish: null, delivered: 'no', ...entry });
    },
    async intend({ jobId, executionId }) {
      await enter('intend', executionId);
      if (entries.has(executionId)) return false;
      entries.set(executionId, { jobId, executionId, pid: null, finish: null, delivered: 'no' });
      return true;
    },
    async started(executionId, pid) {
      await enter('started', executionId);
      const entry = entries.get(executionId);
      if (entry !== undefined) entry.pid = pid;
    },
    async ended(finish) {
      await enter('ended', finish.executionId);
      const entry = entries.get(finish.executionId);
      if (entry !== undefined) entry.finish ??= structuredClone(finish);
    },
    async delivered(executionId, superseded) {
      await enter('delivered', executionId);
      const entry = entries.get(executionId);
      if (entry !== undefined) entry.delivered = superseded ? 'superseded' : 'yes';
    },
    async find({ executionId }) {
      await enter('find', executionId);
      const entry = entries.get(executionId);
      return entry === undefined ? null : toEntry(entry);
    },
    async open() {
      await enter('open');
      const all = [...entries.values()];
      const outbox = all.flatMap(({ finish, delivered }) =>
        finish !== null && delivered === 'no' ? [finish] : [],
      );
      return { outbox, unsettled: all.filter(({ finish }) => finish === null).map(toEntry) };
    },
  };
}
