/** One tool call: a line, and all of it when it is open. */
import { useMemo, useState } from 'preact/hooks';
import { formatDuration, formatMany, formatNumber } from '../format.ts';
import { useNow } from '../load.ts';
import { Clipped } from './clipped.tsx';
import { spelledOut, visibleText } from './hostile.ts';
import { changesOf, type FileChange, jsonOf, summaryOf, type Todo, todosOf } from './tool-calls.ts';
import type { ToolItem } from './transcript.ts';

interface ToolProps {
  readonly item: ToolItem;
  readonly isOpen: boolean;
  readonly toggle: () => void;
}

export function ToolCall({ item, isOpen, toggle }: ToolProps) {
  const { name, input, isError, cut } = item;
  const summary = useMemo(() => summaryOf(name, input), [name, input]);
  const body = `tool-${item.key}`;
  return (
    <div class={isOpen ? 'tool open' : 'tool'}>
      <button
        type="button"
        class="tool-line"
        aria-expanded={isOpen}
        aria-controls={isOpen ? body : undefined}
        onClick={toggle}
      >
        <span class="turn" aria-hidden="true" />
        <span class="tool-name">{visibleText(name)}</span>
        <span class="tool-summary clip">{summary}</span>
        {isError && <span class="tool-state bad">failed</span>}
        {cut && <span class="tool-state warn">cut off</span>}
        <Duration item={item} />
      </button>
      {isOpen && (
        <div class="tool-body" id={body}>
          <Input item={item} />
          <Output item={item} />
        </div>
      )}
    </div>
  );
}

function Duration({ item }: { readonly item: ToolItem }) {
  const start = Date.parse(item.startedAt);
  if (item.endedAt === null) return <Running since={start} />;
  return (
    <span class="tool-time number">{formatDuration(Math.max(0, Date.parse(item.endedAt) - start))}</span>
  );
}

function Running({ since }: { readonly since: number }) {
  const now = useNow(1000);
  const ms = Math.max(0, Math.floor((now - since) / 1000) * 1000);
  return (
    <span class="tool-time number running">
      <span class="visually-hidden">running for </span>
      {ms === 0 ? 'now' : formatDuration(ms)}
    </span>
  );
}

function Input({ item: { name, input } }: { readonly item: ToolItem }) {
  const [todos, changes] = useMemo(() => [todosOf(name, input), changesOf(name, input)], [name, input]);
  if (todos !== null) return <Todos todos={todos} />;
  if (changes !== null) return <Changes changes={changes} />;
  if (input === null || input === undefined) return null;
  return (
    <section>
      <p class="tool-part">Input</p>
      <Clipped text={spelledOut(jsonOf(soleText(input) ?? input))} />
    </section>
  );
}

/** A command alone is easier to read than JSON with a command in it. */
function soleText(input: unknown): string | null {
  if (typeof input !== 'object' || input === null) return null;
  const values: readonly unknown[] = Object.values(input);
  const [only] = values;
  return values.length === 1 && typeof only === 'string' ? only : null;
}

function Output({ item: { output, isError } }: { readonly item: ToolItem }) {
  if (output === null) return null;
  return (
    <section>
      <p class="tool-part">{isError ? 'Error' : 'Output'}</p>
      {output === '' ? <p class="soft">Nothing</p> : <Clipped text={output} bad={isError} />}
    </section>
  );
}

function Todos({ todos }: { readonly todos: readonly Todo[] }) {
  return (
    <ul class="todos">
      {todos.map(({ text, status }, index) => (
        <li key={index} class={status}>
          <span class="mark" aria-hidden="true">
            {{ done: '✓', running: '→', open: '○' }[status]}
          </span>
          <span class="visually-hidden">{status}: </span>
          {visibleText(text)}
        </li>
      ))}
    </ul>
  );
}

/** Lines of a change that are shown before one asks for all. */
const FIRST_LINES = 200;

export function Changes({ changes }: { readonly changes: readonly FileChange[] }) {
  return (
    <>
      {changes.map((change, index) => (
        <Change key={index} change={change} />
      ))}
    </>
  );
}

const SIGNS = { added: '+', removed: '−', same: ' ', place: ' ' };
const WORDS = { added: 'added: ', removed: 'removed: ', same: '', place: '' };

function Change({ change: { path, what, lines } }: { readonly change: FileChange }) {
  const [most, setMost] = useState(FIRST_LINES);
  const count = (kind: string): number => lines.filter((line) => line.kind === kind).length;
  return (
    <figure class="change">
      <figcaption>
        <span class="mono path">{spelledOut(path)}</span>
        {what !== undefined && <span class="mono path">{spelledOut(what)}</span>}
        <span class="number plus">+{formatNumber(count('added'))}</span>
        <span class="number minus">−{formatNumber(count('removed'))}</span>
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre class="diff" tabIndex={0}>
        {lines.slice(0, most).map(({ kind, text }, index) => (
          <span key={index} class={kind}>
            <span aria-hidden="true">{SIGNS[kind]}</span>
            <span class="visually-hidden">{WORDS[kind]}</span>
            <Line text={spelledOut(text)} />
            {'\n'}
          </span>
        ))}
      </pre>
      {lines.length > most && (
        <button
          type="button"
          class="button small show-more"
          onClick={() => setMost((n) => n + FIRST_LINES * 10)}
        >
          Show {formatMany(lines.length - most, 'more line')}
        </button>
      )}
    </figure>
  );
}

const MAX_LINE = 2000;

/** A browser lays out a very long line only slowly. */
function Line({ text }: { readonly text: string }) {
  const [isWhole, setWhole] = useState(text.length <= MAX_LINE);
  if (isWhole) return text;
  return (
    <>
      {text.slice(0, MAX_LINE)}
      <button type="button" class="button small show-more" onClick={() => setWhole(true)}>
        Show {formatMany(text.length - MAX_LINE, 'more character')}
      </button>
    </>
  );
}
