/** The title of the document: what is shown, and how much waits for the user. */
import { useEffect } from 'preact/hooks';

const NAME = 'Bullpen';
let waiting = '';
let shown = '';

function show(): void {
  document.title = `${waiting === '' ? '' : `(${waiting}) `}${shown === '' ? '' : `${shown} · `}${NAME}`;
}

/** `count`: empty when nothing waits. */
export function useWaitingTitle(count: string): void {
  useEffect(() => {
    waiting = count;
    show();
  }, [count]);
}

const MAX_TITLE = 80;

/** Names what is shown, while the component is shown. */
export function useTitle(text: string): void {
  useEffect(() => {
    shown = text.length > MAX_TITLE ? `${text.slice(0, MAX_TITLE)}…` : text;
    show();
    return () => {
      shown = '';
      show();
    };
  }, [text]);
}
