import { AppError } from '../../src/errors.ts';
import type { TerminalEvent } from '../../src/protocol/terminal.ts';
import type { TerminalMove, TerminalRecords } from '../../src/records/session-ports.ts';
import type { TerminalLedger } from '../../src/terminals/ports.ts';

export type StoredTerminalEvent = TerminalEvent & { readonly seq: number };

/** The streams of terminals, in memory. */
export class FakeTerminalRecords implements TerminalRecords {
  readonly events = new Map<string, StoredTerminalEvent[]>();
  readonly moves: (TerminalMove & { readonly id: string })[] = [];
  /** Redis is away: every call fails. */
  away = false;
  /** Redis has no record. */
  missing = false;
  /** How many of the next appends are done although their answers get lost. */
  lostAnswers = 0;
  /** Each append waits for it. */
  gate: Promise<void> = Promise.resolve();
  keepFrom = 0;
  readerCount = 0;
  readerCalls = 0;
  readonly notOver: string[] = [];
  appends = 0;
  readonly #batches = new Map<string, { readonly batch: number; readonly seq: number }>();
  readonly #seqs = new Map<string, number>();
  readonly #listeners: (() => void)[] = [];

  async append(...[id, batch, events, keepFrom]: Parameters<TerminalRecords['append']>): Promise<number> {
    await this.gate;
    this.#fail();
    if (this.missing) return 0;
    this.appends += 1;
    const known = this.#batches.get(id);
    if (known?.batch === batch) return known.seq;
    const stored = this.of(id);
    for (const { event } of events) stored.push({ ...event, seq: this.#next(id) });
    const seq = this.#seqs.get(id) ?? 0;
    this.#batches.set(id, { batch, seq });
    this.keepFrom = keepFrom;
    if (this.lostAnswers > 0) {
      this.lostAnswers -= 1;
      throw new AppError('redis.unavailable', 'the answer got lost');
    }
    for (const listener of this.#listeners.splice(0)) listener();
    return seq;
  }

  async move(id: string, move: TerminalMove): Promise<boolean> {
    this.#fail();
    if (this.missing) return false;
    this.moves.push({ id, ...move });
    this.#next(id); // its session.status
    return true;
  }

  async readers(): Promise<number> {
    this.#fail();
    this.readerCalls += 1;
    return this.readerCount;
  }

  /** Those that a test says are not over. */
  async open(): Promise<readonly string[]> {
    return this.notOver;
  }

  of(id: string): StoredTerminalEvent[] {
    const known = this.events.get(id) ?? [];
    this.events.set(id, known);
    return known;
  }

  /** The output of a session so far. */
  output(id: string): string {
    return Buffer.concat(
      this.of(id).map((event) =>
        event.kind === 'terminal.output' ? Buffer.from(event.data, 'base64') : Buffer.alloc(0),
      ),
    ).toString();
  }

  triggers(id: string): readonly string[] {
    return this.moves.filter((move) => move.id === id).map(({ trigger }) => trigger);
  }

  /** Calls `listener` after the next append. */
  onceAppended(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #next(id: string): number {
    const seq = (this.#seqs.get(id) ?? 0) + 1;
    this.#seqs.set(id, seq);
    return seq;
  }

  #fail(): void {
    if (this.away) throw new AppError('redis.unavailable', 'Redis is away');
  }
}

/** A ledger in memory, which outlives its host. */
export class FakeTerminalLedger implements TerminalLedger {
  readonly rows = new Map<
    string,
    { sessionId: string; pid: number | null; end: { errorCode: string | null } | null }
  >();

  async intend({ executionId, sessionId }: { executionId: string; sessionId: string }): Promise<void> {
    this.rows.set(executionId, { sessionId, pid: null, end: null });
  }
  async started(executionId: string, pid: number): Promise<void> {
    const row = this.rows.get(executionId);
    if (row !== undefined) row.pid = pid;
  }
  async ended(executionId: string, end: { readonly errorCode: string | null }): Promise<void> {
    const row = this.rows.get(executionId);
    if (row !== undefined) row.end = end;
  }
  async open(): Promise<{ executionId: string; sessionId: string }[]> {
    return [...this.rows]
      .filter(([, { end }]) => end === null)
      .map(([executionId, { sessionId }]) => ({ executionId, sessionId }));
  }
}
