/** A second press sends nothing twice, whether by a click, a key or a form. */
import { useRef, useState } from 'preact/hooks';

/** The action, which does nothing while it is under way. */
export function oneAtATime<Given extends readonly unknown[]>(
  act: (...given: Given) => unknown,
): (...given: Given) => Promise<void> {
  let underWay = false;
  return async (...given) => {
    if (underWay) return;
    underWay = true;
    try {
      await act(...given);
    } finally {
      underWay = false;
    }
  };
}

/** The same for a component, and whether it is under way. */
export function useOneAtATime<Given extends readonly unknown[]>(
  act: (...given: Given) => unknown,
): readonly [act: (...given: Given) => Promise<void>, busy: boolean] {
  const [busy, setBusy] = useState(false);
  const latest = useRef(act);
  latest.current = act;
  const [once] = useState(() =>
    oneAtATime(async (...given: Given) => {
      setBusy(true);
      try {
        await latest.current(...given);
      } finally {
        setBusy(false);
      }
    }),
  );
  return [once, busy];
}
