/** Short messages about what the user has just done. */
import { useEffect, useState } from 'preact/hooks';
import { messageOf } from './states.tsx';

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly bad: boolean;
}

const SHOWN_MS = 5000;
let toasts: readonly Toast[] = [];
let count = 0;
let changed = (): void => {};

function put(text: string, bad: boolean): void {
  count += 1;
  const toast = { id: count, text, bad };
  toasts = [...toasts.slice(-3), toast];
  changed();
  if (!bad) setTimeout(() => drop(toast.id), SHOWN_MS);
}

function drop(id: number): void {
  toasts = toasts.filter((one) => one.id !== id);
  changed();
}

/** What was done, in a few words. */
export const done = (text: string): void => put(text, false);
/** What did not work. It stays until it is closed. */
export const failed = (error: unknown): void => put(messageOf(error), true);

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
  return (
    <div class="toasts" role="status">
      {toasts.map(({ id, text, bad }) => (
        <div key={id} class={bad ? 'toast bad' : 'toast'}>
          <span>{text}</span>
          <button type="button" class="button small plain" aria-label="Close" onClick={() => drop(id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}
