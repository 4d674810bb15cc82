import type { SpawnedProcess } from '../processes/spawned-process.ts';

export interface OutputFlow {
  sawBytes(bytes: number): void;
  sawEvent(): void;
  /** For whoever takes the events and cannot keep up. */
  readonly sinkControl: { pause(): void; resume(): void };
  clear(): void;
}

/**
 * Bounds what one CLI can say: too many bytes or events end it; events that come too fast, or a sink that lags,
 * only stop the reading, so that the pipe fills and the CLI waits.
 */
export function createOutputFlow(
  child: Pick<SpawnedProcess, 'pauseOutput' | 'resumeOutput'>,
  limits: {
    readonly maxOutputBytes: number;
    readonly maxEvents: number;
    readonly maxEventsPerSecond: number;
  },
  onExceeded: () => void,
): OutputFlow {
  const holds = new Set<'sink' | 'rate'>();
  let bytes = 0;
  let events = 0;
  let windowStart = performance.now();
  let windowEvents = 0;
  let timer: NodeJS.Timeout | null = null;
  let over = false;

  const hold = (why: 'sink' | 'rate'): void => {
    holds.add(why);
    child.pauseOutput();
  };
  const release = (why: 'sink' | 'rate'): void => {
    holds.delete(why);
    if (holds.size === 0) child.resumeOutput();
  };

  return {
    sawBytes(count) {
      bytes += count;
      if (bytes > limits.maxOutputBytes) onExceeded();
    },
    sawEvent() {
      events += 1;
      if (events > limits.maxEvents) onExceeded();
      const now = performance.now();
      if (now - windowStart >= 1000) {
        windowStart = now;
        windowEvents = 0;
      }
      windowEvents += 1;
      if (windowEvents <= limits.maxEventsPerSecond || timer !== null) return;
      hold('rate');
      timer = setTimeout(
        () => {
          timer = null;
          release('rate');
        },
        1000 - (now - windowStart),
      );
    },
    sinkControl: {
      pause: () => {
        if (!over) hold('sink');
      },
      resume: () => release('sink'),
    },
    clear() {
      over = true;
      if (timer !== null) clearTimeout(timer);
      holds.clear();
      child.resumeOutput(); // the process may go on with another run
    },
  };
}
