/** A long text of a program: colours, and only its beginning and end until one asks for more. */
import { useState } from 'preact/hooks';
import { formatBytes, formatMany } from '../format.ts';
import { ansiParts, cutOf } from './ansi.ts';

const FIRST = 6000;
const LAST = 2000;
/** Characters that "show more" adds: a browser lays out more of them only slowly. */
const MORE = 200_000;

export function Clipped({ text, bad = false }: { readonly text: string; readonly bad?: boolean }) {
  const [first, setFirst] = useState(FIRST);
  const [from, to] = [cutOf(text, first), cutOf(text, text.length - LAST)];
  const hidden = to - from;
  const isWhole = hidden <= LAST;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <pre class={bad ? 'code output bad' : 'code output'} tabIndex={0}>
      <Coloured text={isWhole ? text : text.slice(0, from)} />
      {!isWhole && (
        <>
          <button
            type="button"
            class="button small show-more"
            onClick={() => setFirst((n) => (hidden <= MORE ? text.length : n + MORE))}
          >
            {hidden <= MORE
              ? `Show all: ${formatMany(hidden, 'more character')}`
              : `Show ${formatBytes(MORE)} more of ${formatBytes(hidden)}`}
          </button>
          <Coloured text={text.slice(to)} />
        </>
      )}
    </pre>
  );
}

/** Text with ANSI colours as elements. */
const Coloured = ({ text }: { readonly text: string }) => (
  <>
    {ansiParts(text).map(({ text: shown, classes, style }, index) =>
      classes === '' && style === null ? (
        shown
      ) : (
        <span key={index} class={classes} {...(style === null ? {} : { style })}>
          {shown}
        </span>
      ),
    )}
  </>
);
