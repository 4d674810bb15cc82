/** The transcript of a job or a session in a component, as its events come. */
import { useEffect, useState } from 'preact/hooks';
import { isUnauthenticated, live, toLogin } from '../server.ts';
import { createTranscript, type Transcript, type TranscriptEvent } from './transcript.ts';

export type Target = { readonly job: string } | { readonly session: string };

export interface Events {
  readonly transcript: Transcript;
  /** No event follows: the job has ended. A session has no such end. */
  readonly ended: boolean;
  /** Why the events cannot be read; null: they can. */
  readonly error: Error | null;
}

interface Reader extends Events {
  readonly readers: Set<() => void>;
  readonly stop: AbortController;
  /** Settles when the connection may read the same target again. */
  readonly over: Promise<void>;
}

/** A connection reads each target once. Components of the same target share its reader. */
const readers = new Map<string, Reader>();
/** What was read last of targets, until their subscription has ended. */
const endings = new Map<string, Promise<void>>();

const keyOf = (target: Target): string =>
  'job' in target ? `job ${target.job}` : `session ${target.session}`;

/** A text that grows is read well at this rate, and costs a third of what every frame would. */
const RENDER_EVERY_MS = 60;

function open(target: Target): Reader {
  const key = keyOf(target);
  const stop = new AbortController();
  const before = endings.get(key);
  const state = { ended: false, error: null as Error | null }; // as: wider than null
  const watchers = new Set<() => void>();
  const transcript = createTranscript();
  let isPlanned = false;
  let renderedAt = 0;
  const render = (): void => {
    isPlanned = false;
    renderedAt = performance.now();
    for (const watch of watchers) watch();
  };
  /** Renders with a frame that comes soon, however many events come until then. */
  const changed = (): void => {
    if (isPlanned) return;
    isPlanned = true;
    const waitMs = renderedAt + RENDER_EVERY_MS - performance.now();
    if (waitMs <= 0) requestAnimationFrame(render);
    else setTimeout(() => requestAnimationFrame(render), waitMs);
  };
  async function read(): Promise<void> {
    await before;
    const { signal } = stop;
    if (signal.aborted) return;
    const events: AsyncGenerator<TranscriptEvent> =
      'job' in target
        ? live().job(target.job, { signal, after: 0 })
        : live().session(target.session, { signal, after: 0 });
    try {
      for await (const event of events) {
        transcript.add(event);
        changed();
      }
      state.ended = true;
    } catch (error) {
      if (signal.aborted) return;
      if (isUnauthenticated(error)) return toLogin();
      state.error = error instanceof Error ? error : new Error(String(error));
    }
    changed();
  }
  const over = read();
  endings.set(key, over);
  void over.then(() => {
    if (endings.get(key) === over) endings.delete(key);
  });
  return {
    transcript,
    stop,
    over,
    readers: watchers,
    get ended() {
      return state.ended;
    },
    get error() {
      return state.error;
    },
  };
}

/**
 * Reads the events of a target while the component is shown; they go on exactly after a lost
 * connection. Renders at most 17 times a second.
 */
export function useEvents(target: Target): Events {
  const key = keyOf(target);
  const [shown, show] = useState<{ readonly reader: Events; readonly frame: number }>(() => ({
    reader: { transcript: createTranscript(), ended: false, error: null },
    frame: 0,
  }));
  useEffect(() => {
    const reader = readers.get(key) ?? open(target);
    readers.set(key, reader);
    const watch = (): void => show(({ frame }) => ({ reader, frame: frame + 1 }));
    reader.readers.add(watch);
    watch();
    return () => {
      reader.readers.delete(watch);
      if (reader.readers.size > 0) return;
      readers.delete(key);
      reader.stop.abort();
    };
  }, [key]);
  return shown.reader;
}
