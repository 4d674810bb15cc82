/** What is being written, so that the end of a login or a step back does not lose it. */
import { useState } from 'preact/hooks';
import { me } from '../server.ts';

/**
 * A text that stays in this tab until it is set to nothing, for the caller who has written it.
 *
 * @param name of the field, with what it belongs to
 * @param first what it begins with, when there is no draft
 */
export function useDraft(name: string, first = ''): readonly [text: string, set: (text: string) => void] {
  const { principal, project } = me();
  const key = `draft ${principal} ${project} ${name}`;
  const [text, setText] = useState(() => sessionStorage.getItem(key) ?? first);
  const set = (next: string): void => {
    setText(next);
    try {
      if (next === '') sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, next);
    } catch {
      // It is longer than the browser keeps.
    }
  };
  return [text, set];
}
