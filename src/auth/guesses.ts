/**
 * Slows guessing of tokens: by the caller's address, and by the key that a token names. It counts
 * wrong tokens on this node, in memory.
 *
 * It must not keep the right caller out. So a token that was right at an address in the last hour
 * passes there, and so does an address from which nothing wrong has come.
 */
import { hash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';
import { hostnameOf } from '../config/hostnames.ts';
import { AppError } from '../errors.ts';

/** Wrong tokens in a row, before the next one must wait. */
const BURST = 20;
/** One more is allowed each time. */
const EVERY_MS = 3000;
const REMEMBER_MS = 60 * 60_000;
const MAX_REMEMBERED = 10_000;

export interface Attempt {
  readonly token: string;
  /** The caller's address. */
  readonly from: string;
  /** The key that the token names, if there is such a key; else null. */
  readonly keyId: string | null;
}

export interface Guesses {
  /** @throws AppError auth.too_many_attempts when the token must not be looked at yet */
  check(attempt: Attempt): void;
  wrong(attempt: Attempt): void;
  right(attempt: Attempt): void;
}

export interface GuessesOptions {
  readonly burst?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly elapsed?: () => number;
  /** A token was refused without a look at it. */
  onRefused(): void;
}

export function createGuesses({
  burst = BURST,
  elapsed = () => performance.now(),
  onRefused,
}: GuessesOptions): Guesses {
  /** When the wrong tokens of an address, or for a key, are forgotten; one takes EVERY_MS. */
  const untilMs = new LRUCache<string, number>({ max: 2 * MAX_REMEMBERED });
  const known = new LRUCache<string, true>({ max: MAX_REMEMBERED, ttl: REMEMBER_MS });

  const owedMs = (name: string): number => Math.max(0, (untilMs.get(name) ?? 0) - elapsed());
  const namesOf = ({ from, keyId }: Attempt): readonly string[] => [
    `from ${networkOf(from)}`,
    ...(keyId === null ? [] : [`key ${keyId}`]),
  ];
  const knownAs = ({ token, from }: Attempt): string => hash('sha256', `${networkOf(from)} ${token}`);

  return {
    check(attempt) {
      const [from = '', key = from] = namesOf(attempt);
      // A key has a count of its own, so that guesses at others do not keep it out.
      const waitMs = owedMs(from) === 0 ? 0 : owedMs(key) - (burst - 1) * EVERY_MS;
      if (waitMs <= 0 || known.has(knownAs(attempt))) return;
      onRefused();
      const retryAfterSeconds = Math.ceil(waitMs / 1000);
      const message = `too many wrong tokens came from this address, or for this key; wait ${retryAfterSeconds} s`;
      throw new AppError('auth.too_many_attempts', message, { retryAfterSeconds });
    },
    wrong(attempt) {
      for (const name of namesOf(attempt))
        untilMs.set(name, elapsed() + Math.min(owedMs(name) + EVERY_MS, burst * EVERY_MS));
    },
    right(attempt) {
      known.set(knownAs(attempt), true);
    },
  };
}

/** The IPv6 network of one customer (/64); an IPv4 address; the beginning of anything else. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const plain = address.replace(/%.*/, '');
  if (!isIPv6(plain)) return address.slice(0, 64);
  const [head = '', tail] = hostnameOf(plain).slice(1, -1).split('::');
  const [left, right] = [head.split(':'), tail?.split(':') ?? []];
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right].slice(0, 4).join(':');
}
