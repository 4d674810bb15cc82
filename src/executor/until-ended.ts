import type { ProcessEnd, SpawnedProcess } from '../processes/spawned-process.ts';

/** Output still open this long after the exit is held by something the CLI left behind. */
const LEAK_AFTER_MS = 1000;

/**
 * The end of a process and of its output. What it started may hold its pipes open: after a moment that is a
 * leak, told once, and whoever hears of it ends the holders.
 */
export async function untilEnded(
  child: SpawnedProcess,
  stuck: Promise<ProcessEnd>,
  onLeak: () => void,
): Promise<ProcessEnd> {
  await Promise.race([child.exited, stuck]);
  const timer = setTimeout(onLeak, LEAK_AFTER_MS);
  try {
    return await Promise.race([child.ended, stuck]);
  } finally {
    clearTimeout(timer);
  }
}
