/** Keys for everything, and the sheet that lists them. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Dialog } from './dialog.tsx';
import { oneAtATime } from './one-at-a-time.ts';

/** `g j` is two keys, one after the other. */
export interface KeyHelp {
  readonly keys: string;
  readonly does: string;
}

interface Binding extends KeyHelp {
  /** While a promise is pending, the key does nothing. */
  readonly act: () => unknown;
  /** Whether a held key goes on: for moves. What is sent is sent once. */
  readonly repeats?: boolean;
}

/** The latest one wins: a dialog or a list is over what was there before. */
const bindings: Binding[] = [];
const TWO_KEYS_WITHIN_MS = 1000;

/** Binds keys while the component is shown. They do nothing while the user types. */
export function useKeys(given: readonly Binding[]): void {
  const latest = useRef(given);
  latest.current = given;
  const names = given.map(({ keys }) => keys).join(',');
  useEffect(() => {
    const own = names.split(',').map((keys, i) => ({
      keys,
      does: latest.current[i]?.does ?? '',
      repeats: latest.current[i]?.repeats ?? false,
      act: oneAtATime(() => latest.current[i]?.act()),
    }));
    bindings.push(...own);
    return () => {
      for (const one of own) bindings.splice(bindings.indexOf(one), 1);
    };
  }, [names]);
}

const NO_TEXT = 'input:is([type="checkbox"], [type="radio"])';
const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable ||
    (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && !target.matches(NO_TEXT)) ||
    target.closest('.xterm') !== null);

/** Enter and the space bar press what has the focus. */
const pressesItself = ({ key, target }: KeyboardEvent): boolean =>
  (key === 'Enter' || key === ' ') &&
  target instanceof Element &&
  target.closest('a[href], button, summary') !== null;

/** Listens for all keys. Mounted once. */
export function Keys() {
  const [helps, setHelps] = useState(false);
  useEffect(() => {
    let first: { readonly key: string; readonly at: number } | null = null;
    const press = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
      if (isTyping(event.target) || pressesItself(event)) return;
      const inDialog = document.querySelector('dialog[open]') !== null;
      if (event.key === '?' && !inDialog) {
        setHelps(true);
        return;
      }
      const isSecond = first !== null && Date.now() - first.at < TWO_KEYS_WITHIN_MS;
      const both = isSecond ? `${first?.key} ${event.key}` : null;
      const bound = (wanted: string | null) => bindings.findLast(({ keys }) => keys === wanted);
      const found = bound(both) ?? bound(event.key);
      first = { key: event.key, at: Date.now() };
      if (found === undefined || inDialog) return;
      event.preventDefault();
      if (!event.repeat || found.repeats === true) found.act();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
  if (!helps) return null;
  const shown = new Map(bindings.map((one) => [one.keys, one]));
  return (
    <Dialog title="Keys" onClose={() => setHelps(false)}>
      <dl class="facts inside">
        {[...shown.values(), { keys: '?', does: 'this help' }, { keys: 'Esc', does: 'close a dialog' }].map(
          ({ keys, does }) => (
            <>
              <dt>
                {keys.split(' ').map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </dt>
              <dd>{does}</dd>
            </>
          ),
        )}
      </dl>
    </Dialog>
  );
}
