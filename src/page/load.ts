/** Data of the server in a component. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import {
  type Changed,
  connectionState,
  isUnauthenticated,
  onChange,
  onConnectionState,
  toLogin,
} from './server.ts';

export interface Loaded<T> {
  /** Null until it has come. While it is loaded again, it is the old one. */
  readonly data: T | null;
  /** Why the last try failed; null: it did not. */
  readonly error: Error | null;
  /** Loads it again now. */
  reload(): void;
  /** Replaces the data, for example by the answer of an action. */
  set(data: T): void;
}

/** Changes come in crowds; each is on the screen within a second. */
const GATHER_MS = 300;

/**
 * Loads data when the component appears, when `inputs` change, when a change of the server concerns
 * it, and when the connection comes back.
 *
 * @param concerns which changes of the server make the data old; default: none
 */
export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  concerns: (change: Changed) => boolean = () => false,
): Loaded<T> {
  const [state, setState] = useState<{ data: T | null; error: Error | null }>({ data: null, error: null });
  const [round, setRound] = useState(0);
  const latest = useRef({ load, concerns });
  latest.current = { load, concerns };
  /** `again`: it was asked for while a load was under way, which may have read older data. */
  const underWay = useRef({ busy: false, again: false });
  const reload = useCallback(() => {
    if (underWay.current.busy) underWay.current.again = true;
    else setRound((n) => n + 1);
  }, []);

  useEffect(() => {
    const stop = new AbortController();
    const own = { busy: true, again: false };
    underWay.current = own;
    const over = (): void => {
      own.busy = false;
      if (own.again && !stop.signal.aborted) setRound((n) => n + 1);
    };
    latest.current.load(stop.signal).then(
      (data) => {
        if (!stop.signal.aborted) setState({ data, error: null });
        over();
      },
      (cause: unknown) => {
        if (stop.signal.aborted) return;
        if (isUnauthenticated(cause)) return toLogin();
        const error = cause instanceof Error ? cause : new Error(String(cause));
        setState(({ data }) => ({ data, error }));
        over();
      },
    );
    return () => stop.abort();
  }, [round, ...inputs]);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wasAway = false;
    const soon = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        reload();
      }, GATHER_MS);
    };
    const stopChanges = onChange((change) => {
      if (latest.current.concerns(change)) soon();
    });
    const stopStates = onConnectionState(() => {
      if (connectionState() === 'reconnecting') wasAway = true;
      else if (connectionState() === 'connected' && wasAway) {
        wasAway = false;
        soon();
      }
    });
    return () => {
      stopChanges();
      stopStates();
      clearTimeout(timer);
    };
  }, [reload]);

  return { ...state, reload, set: useCallback((data: T) => setState({ data, error: null }), []) };
}

/**
 * Loads again every `everyMs` while the page is seen, and when it is seen again: for data of which
 * the server reports no change.
 */
export function usePoll(reload: () => void, everyMs = 1000): void {
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    const look = (): void => {
      if (document.visibilityState === 'visible') latest.current();
    };
    const timer = setInterval(look, everyMs);
    document.addEventListener('visibilitychange', look);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [everyMs]);
}

/** Renders again every `everyMs`, for times that pass. Returns now, in ms. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
