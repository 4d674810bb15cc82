import type { Redis } from 'ioredis';

const PING_MS = 2000;

/** How long a connection has answered without a break, by the monotonic clock. */
export function createContact(redis: Redis): { inTouchForMs(): number; stop(): void } {
  let since: number | null = redis.status === 'ready' ? performance.now() : null;
  let lastAnswer = performance.now();
  const timer = setInterval(() => {
    // An answer that is late broke the contact, also when the connection never did: a frozen Redis.
    redis.ping().then(
      () => {
        const now = performance.now();
        if (now - lastAnswer > PING_MS * 3) since = now;
        lastAnswer = now;
        since ??= now;
      },
      () => {
        since = null;
      },
    );
  }, PING_MS);
  timer.unref(); // only measures; it never keeps the process alive
  redis.on('close', () => {
    since = null;
  });
  return {
    inTouchForMs: () => (since === null ? 0 : performance.now() - since),
    stop: () => clearInterval(timer),
  };
}
