import type { Gates, HeldGate, NodeState } from '../../src/records/gate-records.ts';

const SINCE = Date.parse('2026-11-21T12:00:00Z');

/** The part of {@link Gates} that a person controls, in memory. */
export class FakeGates implements Pick<Gates, 'hold' | 'held' | 'nodes'> {
  readonly live: NodeState[] = [];
  readonly #held = new Map<HeldGate, number>();

  async hold(gate: HeldGate, closes: boolean): Promise<boolean> {
    const changes = closes !== this.#held.has(gate);
    if (!closes) this.#held.delete(gate);
    else if (changes) this.#held.set(gate, SINCE + this.#held.size);
    return changes;
  }

  async held() {
    return [...this.#held].map(([gate, since]) => ({ gate, since }));
  }

  async nodes() {
    return this.live;
  }
}
