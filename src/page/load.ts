/** Data of the server in a component. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import {
  type Changed,
  connectionState,
  isUnauthenticated,
  may,
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
  /** Loads it again, unless it is being loaded. */
  refresh(): void;
  /** Replaces the data, for example by the answer of an action. */
  set(data: T): void;
}

/** For callers who learn of no changes. Their keys may have a limit of requests. */
const POLL_MS = 5000;

/** Changes come in crowds; each is on the screen within a second. */
const GATHER_MS = 300;

/**
 * Loads data when the component appears, when `inputs` change, when a change of the server concerns
 * it, and when the connection comes back. A caller who learns of no changes asks every 5 s.
 *
 * @param concerns which changes of the server make the data old; default: none
 */
export function useLoad<T>(
  load: (signal: AbortSignal) => Promise<T>,
  inputs: readonly unknown[],
  concerns?: (change: Changed) => boolean,
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
  const refresh = useCallback(() => {
    if (!underWay.current.busy) setRound((n) => n + 1);
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
      if (latest.current.concerns?.(change) === true) soon();
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

  useEvery(refresh, concerns === undefined || may('jobs:read') ? null : POLL_MS);

  return { ...state, reload, refresh, set: useCallback((data: T) => setState({ data, error: null }), []) };
}

/** Calls `act` every `everyMs` while the page is seen, and when it is seen again; null: never. */
function useEvery(act: () => void, everyMs: number | null): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    if (everyMs === null) return;
    let timer: ReturnType<typeof setInterval> | undefined;
    const begin = (): void => {
      clearInterval(timer);
      if (document.visibilityState === 'visible') timer = setInterval(() => latest.current(), everyMs);
    };
    const look = (): void => {
      begin();
      if (document.visibilityState === 'visible') latest.current();
    };
    begin();
    document.addEventListener('visibilitychange', look);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [everyMs]);
}

/**
 * Loads again every `everyMs` while the page is seen: for data of which the server reports no
 * change.
 */
export const usePoll = ({ refresh }: Pick<Loaded<unknown>, 'refresh'>, everyMs: number | null = 1000): void =>
  useEvery(refresh, everyMs);

/** Renders again every `everyMs` while the page is seen, for times that pass. Returns now. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEvery(() => setNow(Date.now()), everyMs);
  return now;
}
