/** What is being written, so that the end of a login or a step back does not lose it. */
import { useState } from 'preact/hooks';
import { me } from '../server.ts';

const keyOf = (name: string): string => {
  const { principal, project } = me();
  return `draft ${principal} ${project} ${name}`;
};

/** What this tab keeps under a name for the caller; null: nothing. */
export const keptText = (name: string): string | null => sessionStorage.getItem(keyOf(name));

/** Keeps a text in this tab until it is set to nothing, for the caller who has written it. */
export function keepText(name: string, text: string): void {
  try {
    if (text === '') sessionStorage.removeItem(keyOf(name));
    else sessionStorage.setItem(keyOf(name), text);
  } catch {
    // It is longer than the browser keeps.
  }
}

/**
 * A text that stays in this tab, as `keepText` keeps it.
 *
 * @param name of the field, with what it belongs to
 * @param first what it begins with, when there is no draft
 */
export function useDraft(name: string, first = ''): readonly [text: string, set: (text: string) => void] {
  const [text, setText] = useState(() => keptText(name) ?? first);
  const set = (next: string): void => {
    setText(next);
    keepText(name, next);
  };
  return [text, set];
}
