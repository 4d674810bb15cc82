import { useRef, useState } from 'preact/hooks';

/**
 * The action, which does nothing while it is under way, and whether it is. For what a click, a key
 * and a form can start: a second press sends nothing twice.
 */
export function useOneAtATime<Given extends readonly unknown[]>(
  act: (...given: Given) => unknown,
): readonly [act: (...given: Given) => Promise<void>, busy: boolean] {
  const [busy, setBusy] = useState(false);
  const underWay = useRef(false);
  const once = async (...given: Given): Promise<void> => {
    if (underWay.current) return;
    underWay.current = true;
    setBusy(true);
    try {
      await act(...given);
    } finally {
      underWay.current = false;
      setBusy(false);
    }
  };
  return [once, busy];
}
