/** A screen of xterm.js in a component: it is there while the component is. */
import type { RefObject } from 'preact';
import { useSyncExternalStore } from 'preact/compat';
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { connectionState, isUnauthenticated, onConnectionState, toLogin } from '../../server.ts';
import { failed } from '../../ui/toast.tsx';
import { createResizing, createTyping, follow } from './follow.ts';
import { createScreen, type Screen } from './xterm.ts';

interface ScreenUse {
  readonly id: string;
  readonly place: RefObject<HTMLDivElement | null>;
  /** For screen readers: its lines are kept as text, too. */
  readonly spoken: boolean;
  /** Whether what is typed goes to the program, and the size follows this window. */
  readonly types: boolean;
  readonly shown: boolean;
  /** The key for it was pressed. */
  readonly leave: () => void;
  readonly onStatus: () => void;
}

interface UsedScreen {
  screen(): Screen | null;
  /** What the program calls itself. */
  readonly title: string;
  /** The address of the link under the pointer. */
  readonly link: string | null;
  readonly error: Error | null;
}

/** Windows change their size in many small steps. */
const SETTLE_MS = 100;
const MAX_TITLE = 200;

export const useConnected = (): boolean =>
  useSyncExternalStore(onConnectionState, connectionState) !== 'reconnecting';

export function useScreen(use: ScreenUse): UsedScreen {
  const { id, place, spoken, types, shown } = use;
  const [title, setTitle] = useState('');
  const [link, setLink] = useState<string | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const held = useRef<Screen | null>(null);
  const latest = useRef(use);
  latest.current = use;
  const fit = useRef((): void => {});

  useEffect(() => {
    if (place.current === null) return;
    const stop = new AbortController();
    const screen = createScreen({ place: place.current, onLink: setLink });
    const { terminal } = screen;
    held.current = screen;
    const type = createTyping(id, failed);
    const resize = createResizing(id);
    terminal.options.disableStdin = !latest.current.types;
    terminal.onData((text) => {
      if (latest.current.types) type(text);
    });
    terminal.onTitleChange((text) => setTitle(text.slice(0, MAX_TITLE)));
    terminal.attachCustomKeyEventHandler((event) => isForTerminal(event, screen, latest.current.leave));
    fit.current = () => {
      // The last size counts for all readers: only the one who types here sets it.
      if (!latest.current.types || !hasFocus(screen)) return;
      const size = screen.fitting();
      if (size !== null && (size.cols !== terminal.cols || size.rows !== terminal.rows)) resize(size);
    };
    terminal.textarea?.addEventListener('focus', () => fit.current());
    follow(id, screen, stop.signal, () => latest.current.onStatus()).catch((cause: unknown) => {
      if (stop.signal.aborted) return;
      if (isUnauthenticated(cause)) return toLogin();
      setError(cause instanceof Error ? cause : new Error(String(cause)));
    });
    return () => {
      stop.abort();
      held.current = null;
      screen.dispose();
    };
  }, [id, place]);

  useEffect(() => {
    if (held.current !== null) held.current.terminal.options.screenReaderMode = spoken;
  }, [id, spoken]);

  useEffect(() => {
    if (held.current !== null) held.current.terminal.options.disableStdin = !types;
    fit.current();
  }, [types]);

  useEffect(() => {
    if (!shown || place.current === null) return;
    let settling: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(settling);
      settling = setTimeout(() => fit.current(), SETTLE_MS);
    });
    observer.observe(place.current);
    return () => {
      observer.disconnect();
      clearTimeout(settling);
    };
  }, [shown, place]);

  return { screen: useCallback(() => held.current, []), title, link, error };
}

const hasFocus = ({ terminal }: Screen): boolean => document.activeElement === terminal.textarea;

/**
 * All keys are for the program, but for Ctrl+], which leaves it, and Ctrl+C with a selection, which
 * the browser copies.
 */
function isForTerminal(event: KeyboardEvent, { terminal }: Screen, leave: () => void): boolean {
  if (event.type !== 'keydown' || !event.ctrlKey || event.altKey || event.metaKey) return true;
  if (event.key === ']' || event.code === 'BracketRight') {
    event.preventDefault();
    leave();
    return false;
  }
  return !(event.key.toLowerCase() === 'c' && terminal.hasSelection());
}
