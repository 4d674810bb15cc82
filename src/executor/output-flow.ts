import type { SpawnedProcess } from '../processes/spawned-process.ts';

export interface OutputFlow {
  sawBytes(bytes: number): void;
  sawEvent(): void;
  /** For the sink of the events, when it lags. */
  readonly sinkControl: { pause(): void; resume(): void };
  clear(): void;
}

/**
 * Bounds the output of one CLI. Too many bytes or events stop it. When events come too fast or the sink lags, the
 * executor only stops reading, so that the pipe fills and the CLI waits.
 */
export function createOutputFlow(options: {
  readonly child: Pick<SpawnedProcess, 'pauseOutput' | 'resumeOutput'>;
  readonly maxOutputBytes: number;
  readonly maxEvents: number;
  readonly maxEventsPerSecond: number;
  onExceeded(): void;
}): OutputFlow {
  const { child } = options;
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
      if (bytes > options.maxOutputBytes) options.onExceeded();
    },
    sawEvent() {
      events += 1;
      if (events > options.maxEvents) options.onExceeded();
      const now = performance.now();
      if (now - windowStart >= 1000) {
        windowStart = now;
        windowEvents = 0;
      }
      windowEvents += 1;
      if (windowEvents <= options.maxEventsPerSecond || timer !== null) return;
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
      child.resumeOutput(); // the process may continue with another run
    },
  };
}
