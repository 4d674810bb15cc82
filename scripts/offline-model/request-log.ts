/** One request that the offline model got. It never holds a key. */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  /** ISO 8601. */
  readonly at: string;
  /**
   * `turn`: a turn of a user's conversation. `own`: the CLI asked for itself. `other`: no request
   * to the model.
   */
  readonly kind: 'turn' | 'own' | 'other';
  readonly model: string | null;
  /** The first twelve hex digits of the key's SHA-256, or null when there was no key. */
  readonly apiKey: string | null;
  /** The last text that a person wrote, directives included. */
  readonly lastUserText: string | null;
  /** All texts that a person wrote in the conversation so far, in order. */
  readonly userTexts: readonly string[];
  /** Text that the CLI sent to the model beside the conversation; null where it sent none. */
  readonly instructions: string | null;
  /**
   * What was done, for example `reply`, `tool Bash`, `error 429`, `hang`, `default`, `own: probe`.
   */
  readonly behaviour: string;
}

interface Waiter {
  readonly count: number;
  resolve(turns: readonly RecordedRequest[]): void;
}

/** Keeps the requests in the order of arrival, and resolves waits for a number of turns. */
export class RequestLog {
  readonly entries: RecordedRequest[] = [];
  readonly #waiters = new Set<Waiter>();

  /** @returns the request's number, from 1. */
  add(entry: RecordedRequest): number {
    this.entries.push(entry);
    const turns = this.#turns();
    for (const waiter of this.#waiters) if (turns.length >= waiter.count) waiter.resolve(turns);
    return this.entries.length;
  }

  async waitForTurns(count: number, timeoutMs: number): Promise<readonly RecordedRequest[]> {
    const turns = this.#turns();
    if (turns.length >= count) return turns;
    const { promise, resolve, reject } = Promise.withResolvers<readonly RecordedRequest[]>();
    const waiter = { count, resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(
      () => reject(new Error(`${this.#turns().length} of ${count} requests came in ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  #turns(): readonly RecordedRequest[] {
    return this.entries.filter((entry) => entry.kind === 'turn');
  }
}
