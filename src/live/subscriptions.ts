/** What one connection has subscribed to, by target. */
import { mayUse, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';
import { invalid } from '../protocol/problem.ts';
import { toAppError } from './encoding.ts';
import type { Feed, Subscribe } from './feeds.ts';
import type { Outbox } from './outbox.ts';

const MAX_SUBSCRIPTIONS = 100;

export interface SubscriptionsOptions {
  open(principal: Principal, request: Subscribe, signal: AbortSignal): Promise<Feed>;
  readonly outbox: Outbox;
  /** The reader has fallen too far behind. */
  onSlow(): void;
}

interface Subscription {
  readonly abort: AbortController;
  readonly feed: Feed;
}

export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #open = new Map<string, Subscription>();
  /** Targets whose feeds are being opened. */
  readonly #opening = new Set<string>();
  #ended = false;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /**
   * Answers, and sends the events from then on. Replaces an earlier one to the same target.
   * @param to the message that it answers; null: none
   * @throws AppError as HTTP would answer
   */
  async subscribe(
    target: string,
    principal: Principal,
    request: Subscribe,
    to: string | null,
  ): Promise<void> {
    const others = new Set([...this.#open.keys(), ...this.#opening]);
    others.delete(target);
    if (others.size >= MAX_SUBSCRIPTIONS)
      throw invalid([{ path: '', message: `would be subscription ${MAX_SUBSCRIPTIONS + 1}` }]);
    const abort = new AbortController();
    this.#opening.add(target);
    const opened = this.#options.open(principal, request, abort.signal);
    const feed = await opened.finally(() => this.#opening.delete(target));
    this.unsubscribe(target);
    if (this.#ended) abort.abort();
    else this.#open.set(target, { abort, feed });
    this.#options.outbox.answer(feed.answer, { to, about: feed.target });
    void this.#follow(target, { abort, feed });
  }

  unsubscribe(target: string): void {
    this.#open.get(target)?.abort.abort();
    this.#open.delete(target);
  }

  /** Ends those that the caller may no longer have. */
  endForbidden(principal: Principal): void {
    for (const [target, { feed }] of this.#open) {
      if (mayUse(principal, feed.scope)) continue;
      this.unsubscribe(target);
      const refusal = new AppError('auth.forbidden', `this needs a token with the scope ${feed.scope}`);
      this.#options.outbox.refuse(refusal, { to: null, about: feed.target });
    }
  }

  end(): void {
    this.#ended = true;
    for (const target of this.#open.keys()) this.unsubscribe(target);
  }

  /** Sends what a feed has, at the pace of the network, until it ends or its reader leaves. */
  async #follow(target: string, { feed, abort: { signal } }: Subscription): Promise<void> {
    const { outbox, onSlow } = this.#options;
    const reply = { to: null, about: feed.target };
    try {
      for await (const group of feed.groups) {
        for (const text of group) {
          if (outbox.isFull) await outbox.room();
          if (signal.aborted) return;
          outbox.output(text);
        }
      }
      if (signal.aborted) return;
      this.unsubscribe(target);
      outbox.answer({ command: 'subscribe', ended: true }, reply);
    } catch (error) {
      if (signal.aborted) return;
      this.unsubscribe(target);
      if (toAppError(error).code === 'request.timeout') onSlow();
      else outbox.refuse(error, reply);
    }
  }
}
