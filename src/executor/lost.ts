import type { StoredEvent } from '../protocol/event.ts';
import type { Outcome } from '../protocol/outcome.ts';
import type { Finish } from '../records/ports.ts';
import { backoffMs } from '../timing.ts';
import { cutText } from './bounded.ts';
import { lostOutcome } from './outcomes.ts';

const MAX_BACKOFF_MS = 3_600_000;

/** A vendor that lifts its limit later than this gets no retry: the job fails and says when. */
export const MAX_RESET_WAIT_MS = 6 * 3_600_000;

/** Delay before the attempt after this one: doubles with each, with up to half of it taken away at random. */
export function backoffAfter(attempt: number, baseMs: number): number {
  const doubled = backoffMs(attempt, { firstMs: baseMs, maxMs: MAX_BACKOFF_MS });
  return Math.round(doubled * (0.5 + Math.random() / 2));
}

/**
 * Delay before the attempt after this one, given how it failed: the backoff, but never before the vendor lifts its
 * limit, and then not all at the same moment. null: that is too far away.
 * @param nowMs milliseconds since the epoch
 */
export function retryDelay(
  error: { readonly resetsAt: string | null } | null,
  attempt: number,
  baseMs: number,
  nowMs: number,
): number | null {
  const retryMs = backoffAfter(attempt, baseMs);
  const resetMs = Date.parse(error?.resetsAt ?? '') - nowMs;
  if (Number.isNaN(resetMs) || resetMs <= 0) return retryMs;
  return resetMs > MAX_RESET_WAIT_MS ? null : Math.ceil(resetMs) + retryMs;
}

/** Events that are read together. */
const PAGE = 1000;

export interface LostOptions {
  readEvents(jobId: string, after: number, limit: number): Promise<readonly StoredEvent[]>;
  readonly maxResultBytes: number;
}

/** The outcome of a lost execution, with the session, text and usage of its readable events. */
export async function lostFinish(
  { jobId, executionId, backoffMs }: Pick<Finish, 'jobId' | 'executionId' | 'backoffMs'>,
  { readEvents, maxResultBytes }: LostOptions,
): Promise<Finish> {
  const told = createEventFold();
  for (let after: number | undefined = 0; after !== undefined; ) {
    const events: readonly StoredEvent[] = await readEvents(jobId, after, PAGE).catch(() => []);
    for (const event of events) told.saw(event, executionId);
    after = events.at(-1)?.seq;
  }
  const outcome = { ...lostOutcome(executionId), ...told.soFar(maxResultBytes) };
  return { jobId, executionId, outcome, from: 0, tail: [], backoffMs, rawAnswer: null };
}

/** What an execution had come to, as its job's events tell. */
function createEventFold() {
  let current: string | null = null;
  let run: Partial<Pick<Outcome, 'provider' | 'model' | 'sessionId' | 'nativeSessionId' | 'usage'>> = {};
  const texts: string[] = [];
  /** Deltas whose block has not come. */
  let pending = '';

  return {
    saw(event: StoredEvent, executionId: string): void {
      if (event.kind === 'execution.started') {
        current = event.executionId;
        run = { provider: event.provider };
      }
      if (current !== executionId) return;
      switch (event.kind) {
        case 'session': {
          const { sessionId, nativeSessionId, model } = event;
          run = { ...run, sessionId, nativeSessionId, model };
          break;
        }
        case 'usage':
          run = { ...run, usage: event.usage };
          break;
        case 'text.delta':
          pending += event.text;
          break;
        case 'text':
          texts.push(event.text);
          pending = '';
          break;
        default:
      }
    },
    soFar(maxResultBytes: number) {
      const said = [...texts, pending].filter((part) => part !== '').join('\n\n');
      const text = cutText(said, maxResultBytes);
      return { ...run, text, textTruncated: text.length < said.length };
    },
  };
}
