export interface WarmSettings {
  /** Processes that may wait for a first prompt, and as many that may wait for a next one; 0: none. */
  readonly maxProcesses: number;
  readonly idleMs: number;
  /** 0: a session's process does not stay. */
  readonly sessionIdleMs: number;
}

/** As the server's settings say it. */
export const warmSettings = (settings: {
  readonly warmProcesses: number | null;
  readonly warmIdleMs: number;
  readonly sessionIdleMs: number;
  readonly concurrency: number;
}): WarmSettings => ({
  maxProcesses: settings.warmProcesses ?? settings.concurrency,
  idleMs: settings.warmIdleMs,
  sessionIdleMs: settings.sessionIdleMs,
});

/** Jobs the executor sees beyond what it runs, so that their processes can boot. */
const LOOK_AHEAD = 2;

/** How many sandboxed workers there are. */
export const workersFor = (settings: {
  readonly workers: number | null;
  readonly concurrency: number;
}): number => settings.workers ?? settings.concurrency + LOOK_AHEAD;
