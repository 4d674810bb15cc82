import type { EventHub } from '../../src/http/ports.ts';
import type { EventBody, StoredEvent } from '../../src/protocol/event.ts';

/** The EventHub port in memory: what was published is kept and followed. */
export class FakeEventHub implements EventHub {
  /** Readers that wait for an event right now. */
  readers = 0;
  /** Thrown at a reader's next step, once: a reader cut by the hub. */
  cutNext: Error | null = null;
  readonly #events = new Map<string, StoredEvent[]>();
  readonly #changed = new EventTarget();

  /** Appends an event with the next `seq`. */
  publish(jobId: string, body: EventBody, raw: string | null = null): StoredEvent {
    const events = this.#events.get(jobId) ?? [];
    const at = new Date(0).toISOString();
    const event: StoredEvent = { seq: events.length + 1, jobId, attempt: 1, at, raw, ...body };
    this.#events.set(jobId, [...events, event]);
    this.#changed.dispatchEvent(new Event('change'));
    return event;
  }

  /** Wakes every reader, so that it meets `cutNext`. */
  wake(): void {
    this.#changed.dispatchEvent(new Event('change'));
  }

  async *read(jobId: string, after: number, signal: AbortSignal): AsyncGenerator<readonly StoredEvent[]> {
    let seen = after;
    while (!signal.aborted) {
      const cut = this.cutNext;
      this.cutNext = null;
      if (cut !== null) throw cut;
      const all = this.#events.get(jobId) ?? [];
      const batch = all.filter(({ seq }) => seq > seen);
      if (batch.length > 0) {
        seen = batch.at(-1)?.seq ?? seen;
        yield batch;
      }
      if (all.at(-1)?.kind === 'job.finished') return;
      // More may have come while the reader was busy with this batch.
      if (batch.length > 0) continue;
      await this.#change(signal);
    }
  }

  async #change(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed.addEventListener('change', () => resolve(), { once: true });
    signal.addEventListener('abort', () => resolve(), { once: true });
    this.readers++;
    this.#changed.dispatchEvent(new Event('reader'));
    await promise;
    this.readers--;
  }

  /** Resolves when a reader has taken everything and waits. */
  async nextReader(): Promise<void> {
    if (this.readers > 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#changed.addEventListener('reader', () => resolve(), { once: true });
    await promise;
  }
}
