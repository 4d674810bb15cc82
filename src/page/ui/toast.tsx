/** Short messages about what the user has just done, or what is being done. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { messageOf } from './states.tsx';

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly bad: boolean;
  /** It is being done, and can be stopped; null: it is over. */
  readonly stop: (() => void) | null;
}

const SHOWN_MS = 5000;
let toasts: readonly Toast[] = [];
let count = 0;
let changed = (): void => {};

/** So many that are over are shown at once. */
const MOST = 4;

function put(toast: Omit<Toast, 'id'>): number {
  count += 1;
  const id = count;
  const over = toasts.filter(({ stop }) => stop === null).slice(1 - MOST);
  toasts = [...toasts.filter((one) => one.stop !== null || over.includes(one)), { ...toast, id }];
  changed();
  if (!toast.bad && toast.stop === null) setTimeout(() => drop(id), SHOWN_MS);
  return id;
}

function drop(id: number): void {
  toasts = toasts.filter((one) => one.id !== id);
  changed();
}

/** What was done, in a few words. */
export const done = (text: string): void => void put({ text, bad: false, stop: null });
/** What did not work. It stays until it is closed. */
export const failed = (error: unknown): void => void put({ text: messageOf(error), bad: true, stop: null });

interface Working {
  /** How far it is. */
  update(text: string): void;
  end(): void;
}

/** What ends sooner is not shown as being done. */
const SHOWN_AFTER_MS = 400;

/** Something that takes its time. It is shown until its end; `stop` is offered. */
export function working(text: string, stop: () => void): Working {
  let now = text;
  let id: number | null = null;
  const timer = setTimeout(() => {
    id = put({ text: now, bad: false, stop });
  }, SHOWN_AFTER_MS);
  return {
    update(next) {
      now = next;
      if (id === null) return;
      toasts = toasts.map((one) => (one.id === id ? { ...one, text: next } : one));
      changed();
    },
    end() {
      clearTimeout(timer);
      if (id !== null) drop(id);
    },
  };
}

/** Does what a button says, and reports it. Returns whether it worked. */
export async function act(what: () => Promise<unknown>, doneText: string): Promise<boolean> {
  try {
    await what();
    done(doneText);
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

export function Toasts() {
  const [, render] = useState(0);
  useEffect(() => {
    changed = () => render((n) => n + 1);
    return () => {
      changed = () => {};
    };
  }, []);
  const place = useRef<HTMLDivElement>(null);
  const newest = toasts.at(-1)?.id;
  // Over a dialog, too: what was shown last is above.
  useEffect(() => {
    place.current?.hidePopover();
    if (newest !== undefined) place.current?.showPopover();
  }, [newest]);
  return (
    <div ref={place} class="toasts" popover="manual">
      <div role="status">
        {toasts.map(({ id, text, bad, stop }) => (
          <div key={id} class={bad ? 'toast bad' : 'toast'}>
            {/* Every step of what is being done would be too much to listen to. */}
            <span aria-live={stop === null ? undefined : 'off'}>{text}</span>
            {stop === null ? (
              <button type="button" class="button small plain" aria-label="Close" onClick={() => drop(id)}>
                ✕
              </button>
            ) : (
              <button type="button" class="button small" onClick={stop}>
                Stop
              </button>
            )}
          </div>
        ))}
      </div>
    </div>
  );
}
