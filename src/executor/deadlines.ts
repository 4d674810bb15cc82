import type { ExecutionEvent } from '../protocol/event.ts';

export interface Deadlines {
  sawOutput(): void;
  /** Follows tools, for a CLI that does not say whether it is busy. */
  sawEvent(event: ExecutionEvent): void;
  /** The CLI has said its last word and gets this long to leave; null: it went on after all. */
  linger(ms: number | null): void;
  /** For good: nothing said later starts a clock again. */
  clear(): void;
}

/** The clocks of one execution, from its spawn: run time, silence, and the time to leave after the last word. */
export function createDeadlines(options: {
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Whether the CLI is at work although it is silent; undefined: it does not say. */
  busy?(): boolean | undefined;
  stop(reason: 'timed_out' | 'idle' | 'lingered'): void;
}): Deadlines {
  const openTools = new Set<string>();
  let lastSign = performance.now();
  const total = setTimeout(() => options.stop('timed_out'), options.timeoutMs);
  let lingering: NodeJS.Timeout | null = null;
  let over = false;

  // One timer that looks back, instead of one per line of output.
  let idle = setTimeout(checkIdle, options.idleTimeoutMs);
  function checkIdle(): void {
    if (options.busy?.() ?? openTools.size > 0) lastSign = performance.now();
    const left = options.idleTimeoutMs - (performance.now() - lastSign);
    if (left <= 0) options.stop('idle');
    else idle = setTimeout(checkIdle, Math.max(1, left));
  }

  return {
    sawOutput() {
      lastSign = performance.now();
    },
    sawEvent(event) {
      if (event.kind === 'tool.started') openTools.add(event.toolId);
      if (event.kind === 'tool.ended') openTools.delete(event.toolId);
      if (isNextMessage(event)) openTools.clear();
    },
    linger(ms) {
      if (lingering !== null) clearTimeout(lingering);
      lingering = ms === null || over ? null : setTimeout(() => options.stop('lingered'), ms);
    },
    clear() {
      over = true;
      clearTimeout(total);
      clearTimeout(idle);
      if (lingering !== null) clearTimeout(lingering);
    },
  };
}

/** The model goes on: the tools it had called are over, also those whose results never came. */
function isNextMessage(event: ExecutionEvent): boolean {
  if (event.kind === 'text' || event.kind === 'text.delta') return event.text.trim() !== '';
  return event.kind === 'reasoning' || event.kind === 'usage';
}
