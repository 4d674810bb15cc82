import { cpus } from 'node:os';

/** Shorter than this says little. */
const WINDOW_MS = 500;

/** Hundredths of a second of all processors since the boot. */
interface Ticks {
  readonly idle: number;
  readonly all: number;
}

const read = (): Ticks => {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { idle, all };
};

/**
 * How much of the processors' time was idle lately, 0 to 1: over the last half second or the time since it was asked
 * before, whichever is longer. 1 as long as nothing is known.
 */
export function createIdleShare(
  readTicks: () => Ticks = read,
  now: () => number = () => performance.now(),
): () => number {
  let since = { at: now(), ticks: readTicks() };
  let share = 1;
  return () => {
    if (now() - since.at < WINDOW_MS) return share;
    const ticks = readTicks();
    const all = ticks.all - since.ticks.all;
    if (all > 0) share = (ticks.idle - since.ticks.idle) / all;
    since = { at: now(), ticks };
    return share;
  };
}
