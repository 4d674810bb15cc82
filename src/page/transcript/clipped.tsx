/** A long text of a program: colours, and only its beginning and end until one asks for more. */
import Anser from 'anser';
import { useState } from 'preact/hooks';
import { formatBytes, formatNumber } from '../format.ts';
import { colouredText } from './hostile.ts';

const FIRST = 6000;
const LAST = 2000;
/** Characters that "show more" adds: a browser lays out more of them only slowly. */
const MORE = 200_000;

export function Clipped({ text, bad = false }: { readonly text: string; readonly bad?: boolean }) {
  const [first, setFirst] = useState(FIRST);
  const hidden = text.length - first - LAST;
  const isWhole = hidden <= LAST;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <pre class={bad ? 'code output bad' : 'code output'} tabIndex={0}>
      <Coloured text={isWhole ? text : text.slice(0, first)} />
      {!isWhole && (
        <>
          <button
            type="button"
            class="button small show-more"
            onClick={() => setFirst((n) => (hidden <= MORE ? text.length : n + MORE))}
          >
            {hidden <= MORE
              ? `Show all: ${formatNumber(hidden)} more characters`
              : `Show ${formatBytes(MORE)} more of ${formatBytes(hidden)}`}
          </button>
          <Coloured text={text.slice(-LAST)} />
        </>
      )}
    </pre>
  );
}

/** Text with ANSI colours as elements. */
export function Coloured({ text }: { readonly text: string }) {
  const clean = colouredText(text);
  if (!clean.includes('\x1b')) return <>{clean}</>;
  const parts = Anser.ansiToJson(clean, { json: true, use_classes: true, remove_empty: true });
  return (
    <>
      {parts.map(({ content, fg, bg, decorations }, index) => {
        const looks = [fg, ...(bg ? ['ansi-on'] : []), ...decorations.map((one) => `ansi-${one}`)];
        const classes = looks.filter(Boolean).join(' ');
        const shown = content.replaceAll('\x1b', '');
        return classes === '' ? (
          shown
        ) : (
          <span key={index} class={classes}>
            {shown}
          </span>
        );
      })}
    </>
  );
}
