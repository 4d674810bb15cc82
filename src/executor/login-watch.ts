/**
 * Notices a CLI that asks a person to log in and waits, long before the silence would end it. Nobody can answer: its
 * stdin is the prompt and closed.
 *
 * Careful, since a model may write the same words: only what a CLI says before its first event counts, on stderr or
 * in lines no provider knows, and only when silence follows.
 */
import type { ExecutionEvent } from '../protocol/event.ts';

/** Silence after which a question is taken for one that waits. */
const QUIET_MS = 10_000;
/** So much of the end of stderr, and of the lines nobody knows, is looked at. */
const TAIL_CHARS = 2000;

const QUESTIONS = [
  /press (enter|return|any key) to (continue|open|log ?in|sign ?in|authenticate)/i,
  /(open|visit|go to|browse to)\b.{0,80}https?:\/\/\S*(oauth|login|auth|device|activate)/is,
  /(enter|paste) (the |your )?(authorization |verification |device |one-time )?code\b/i,
  /(choose|select) (a |an |your )?(login|auth|authentication|sign-?in) method/i,
  /how would you like to (authenticate|log ?in|sign ?in)/i,
  /waiting for (authentication|authorization|login|sign-?in)/i,
  /(please|you must|you need to) (log|sign) ?in\b/i,
  /do you trust (the |this )?(files|authors|contents|folder|directory|workspace)/i,
];

export const asksForLogin = (text: string): boolean => QUESTIONS.some((question) => question.test(text));

export interface LoginWatch {
  sawOutput(): void;
  sawEvent(event: ExecutionEvent): void;
  clear(): void;
}

export function createLoginWatch(options: {
  readonly idleTimeoutMs: number;
  stderrTail(): string;
  /** Called once at the most. */
  onAsked(): void;
}): LoginWatch {
  const quietMs = Math.min(QUIET_MS, options.idleTimeoutMs / 2);
  let lines = '';
  let lastOutput: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let over = false;

  function check(): void {
    timer = null;
    if (over || lastOutput === null) return;
    const left = quietMs - (performance.now() - lastOutput);
    if (left > 0) {
      timer = setTimeout(check, Math.max(1, left));
      return;
    }
    lastOutput = null; // one look at each silence
    if (!asksForLogin(`${lines}\n${options.stderrTail().slice(-TAIL_CHARS)}`)) return;
    over = true;
    options.onAsked();
  }

  function clear(): void {
    over = true;
    if (timer !== null) clearTimeout(timer);
    timer = null;
  }

  return {
    sawOutput() {
      if (over) return;
      lastOutput = performance.now();
      timer ??= setTimeout(check, quietMs);
    },
    sawEvent(event) {
      if (event.kind === 'raw') lines = `${lines}\n${event.line}`.slice(-TAIL_CHARS);
      // It has begun to work: from now on its words are a model's.
      else clear();
    },
    clear,
  };
}
