import type { ExecutionEvent } from '../protocol/event.ts';

export interface Deadlines {
  sawOutput(): void;
  /** Follows tools, for a CLI that does not say whether it is busy. */
  sawEvent(event: ExecutionEvent): void;
  /**
   * The CLI has given its terminal event and gets this long to exit. Null: it continued after all.
   */
  linger(ms: number | null): void;
  /** The clocks of run time and silence stand still from `true` to `false`. */
  hold(held: boolean): void;
  /** Stops all clocks. No later call starts one again. */
  clear(): void;
}

/**
 * The clocks of one execution: run time, silence, and the time to exit after the terminal event.
 */
export function createDeadlines(options: {
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Whether the CLI works although it is silent. Undefined when it does not report this. */
  busy?(): boolean | undefined;
  stop(reason: 'timed_out' | 'idle' | 'lingered'): void;
}): Deadlines {
  const openTools = new Set<string>();
  let lastSign = performance.now();
  let leftMs = options.timeoutMs;
  let runsSince = performance.now();
  let total = startTotal();
  let lingering: NodeJS.Timeout | null = null;
  let over = false;

  // One timer that checks the time of the last output, instead of a new timer per line.
  let idle = setTimeout(checkIdle, options.idleTimeoutMs);
  function checkIdle(): void {
    if (options.busy?.() ?? openTools.size > 0) lastSign = performance.now();
    const left = options.idleTimeoutMs - (performance.now() - lastSign);
    if (left <= 0) options.stop('idle');
    else idle = setTimeout(checkIdle, Math.max(1, left));
  }

  function startTotal(): NodeJS.Timeout {
    runsSince = performance.now();
    return setTimeout(() => options.stop('timed_out'), leftMs);
  }

  return {
    sawOutput() {
      lastSign = performance.now();
    },
    hold(held) {
      if (over) return;
      clearTimeout(total);
      clearTimeout(idle);
      if (held) {
        leftMs -= performance.now() - runsSince;
        return;
      }
      lastSign = performance.now();
      total = startTotal();
      idle = setTimeout(checkIdle, options.idleTimeoutMs);
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

/** The model continues: the tools it called have ended, including those without a result. */
function isNextMessage(event: ExecutionEvent): boolean {
  if (event.kind === 'text' || event.kind === 'text.delta') return event.text.trim() !== '';
  return event.kind === 'reasoning' || event.kind === 'usage';
}
