/** Which cap a process went over. */
export type OutputExcess = 'bytes' | 'events';

export interface OutputMeterOptions {
  /** stdout and stderr together. */
  readonly maxOutputBytes: number;
  /** In any one second; no cap when left out. */
  readonly maxEventsPerSecond?: number;
  /** Called once, when a cap is first passed. */
  readonly onExceeded: (excess: OutputExcess) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

export interface OutputMeter {
  readonly totalBytes: number;
  readonly exceeded: OutputExcess | null;
  /** Counts bytes that were read. Give it to `SpawnedProcess.onOutput`. */
  bytes(count: number): void;
  /** Counts one event. */
  event(): void;
}

/** Counts what a process writes and says once when it was too much. */
export function createOutputMeter(options: OutputMeterOptions): OutputMeter {
  const { maxOutputBytes, maxEventsPerSecond = Number.POSITIVE_INFINITY, onExceeded } = options;
  const now = options.now ?? (() => performance.now());
  let totalBytes = 0;
  let exceeded: OutputExcess | null = null;
  let windowStart = now();
  let windowEvents = 0;

  const exceed = (excess: OutputExcess): void => {
    if (exceeded !== null) return;
    exceeded = excess;
    onExceeded(excess);
  };

  return {
    get totalBytes() {
      return totalBytes;
    },
    get exceeded() {
      return exceeded;
    },
    bytes(count) {
      totalBytes += count;
      if (totalBytes > maxOutputBytes) exceed('bytes');
    },
    event() {
      if (maxEventsPerSecond === Number.POSITIVE_INFINITY) return;
      const at = now();
      if (at - windowStart >= 1000) {
        windowStart = at;
        windowEvents = 0;
      }
      windowEvents += 1;
      if (windowEvents > maxEventsPerSecond) exceed('events');
    },
  };
}
