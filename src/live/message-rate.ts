/** Seconds over which the average counts. */
const AVERAGE_SECONDS = 10;

/**
 * Counts the messages of a connection: on average `perSecond` over ten seconds are taken, and ten
 * seconds' worth at once. Further ones are refused. A client that goes on regardless owes more and
 * more; at one second's worth the connection ends.
 */
export function createMessageRate(perSecond: number, now: () => number): () => 'take' | 'refuse' | 'end' {
  const most = perSecond * AVERAGE_SECONDS;
  let left = most;
  let at = now();
  return () => {
    const since = now() - at;
    at += since;
    left = Math.min(most, left + (since * perSecond) / 1000) - 1;
    if (left >= 0) return 'take';
    return left > -perSecond ? 'refuse' : 'end';
  };
}
