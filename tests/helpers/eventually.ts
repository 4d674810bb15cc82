import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Default 20 000: what a busy machine may take, not what is expected. */
  readonly timeoutMs?: number;
  /** Between two looks; default: {@link FIRST_MS} at first, then longer and longer. */
  readonly intervalMs?: number;
}

/** A look may cost a request or all of /proc: what has not come soon is asked for less often. */
const FIRST_MS = 10;
const GROWTH = 1.5;
const LONGEST_MS = 100;

/**
 * Polls until `check` neither throws nor gives `false` or `null`, and resolves to what it gave. A
 * check that gives `undefined` (a block of expectations, `Array.find`'s miss is not distinguished)
 * passes when it does not throw.
 *
 * @throws what `check` threw last, or an error with its last value
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 20_000, intervalMs }: EventuallyOptions = {},
): Promise<Exclude<T, false | null>> {
  const deadline = performance.now() + timeoutMs;
  for (let waitMs = intervalMs ?? FIRST_MS; ; waitMs = intervalMs ?? Math.min(waitMs * GROWTH, LONGEST_MS)) {
    const failure = await attempt(check);
    if (failure.passed) return failure.value;
    if (performance.now() >= deadline) throw failure.why;
    await delay(waitMs);
  }
}

type Attempt<T> = { passed: true; value: Exclude<T, false | null> } | { passed: false; why: unknown };

async function attempt<T>(check: () => T | Promise<T>): Promise<Attempt<T>> {
  try {
    const value = await check();
    if (value === false || value === null) {
      return { passed: false, why: new Error(`the condition was still ${String(value)}`) };
    }
    // The two values the type leaves out are the two the line above returned for.
    return { passed: true, value: value as Exclude<T, false | null> };
  } catch (why) {
    return { passed: false, why };
  }
}
