/** What a person types while a terminal is attached: text for the program, and the detach key. */
import { usageError } from './failures.ts';

export interface DetachKey {
  /** As it is shown: `Ctrl-]`. */
  readonly name: string;
  readonly pattern: RegExp;
}

/**
 * The key that `--detach-key` names: `ctrl-]`, `^]`.
 * @throws CommandError for keys that a program cannot do without: Enter, Tab, Escape
 */
export function parseDetachKey(text: string): DetachKey {
  const [, key = ''] = /^(?:ctrl-|\^)([a-z@\\\]^_])$/i.exec(text.trim()) ?? [];
  const letter = key.toUpperCase();
  if (letter === '' || 'IJM'.includes(letter))
    throw usageError(`--detach-key takes ctrl-] or another control key, not ${JSON.stringify(text)}`);
  const plain = String.fromCharCode(letter.charCodeAt(0) & 0x1f).replace(/[\\\]^]/g, '\\$&');
  const code = key.toLowerCase().charCodeAt(0);
  // As keyboards with extended keys send it, which a program may have asked for; with a lock on,
  // the number of the modifiers is higher.
  const ctrl = '(?:5|69|133|197)';
  const pattern = new RegExp(`${plain}|\\u001b\\[${code};${ctrl}(?::[12])?u|\\u001b\\[27;${ctrl};${code}~`);
  return { name: `Ctrl-${letter}`, pattern };
}

/** A key with the name of the first, and another one that does the same. */
export const eitherKey = ({ name, pattern }: DetachKey, other: DetachKey): DetachKey => ({
  name,
  pattern: new RegExp(`${pattern.source}|${other.pattern.source}`),
});

/**
 * What a terminal sends when a program asks it something: the position of the cursor, what it can
 * do, its colours. The server's screen answers for all readers, so these are not typed. Shift-F3
 * looks like a position, and is lost.
 */
const ANSWER = new RegExp(
  [
    '\\u001b\\[\\??\\d+;\\d+(?:;\\d+)?R', // position of the cursor
    '\\u001b\\[(?:[03]|\\?[\\d;]+)n', // status, colour scheme
    '\\u001b\\[[?>=][\\d;]*c', // device attributes
    '\\u001b\\[\\??\\d+;\\d+\\$y', // modes
    '\\u001b\\[\\?\\d+u', // keyboard
    '\\u001b\\[\\d+(?:;\\d+)*t', // window
    '\\u001b[\\]P_][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)', // colours, names, settings
  ].join('|'),
  'g',
);
/** The begin of an answer whose end has not come. */
const BEGUN = /\u001b(?:\[(?:[?>=\d][\d;]*\$?)?|[\]P_][^\u0007\u001b]{0,4096}\u001b?)$/;

/** Around what is pasted, where the program has asked to see that. */
const PASTE_BEGIN = '\u001b[200~';
const PASTE_END = '\u001b[201~';
/** A paste comes without a pause. One whose end was lost is over after this long. */
export const PASTE_PAUSE_MS = 1000;
const PASTES = /\u001b\[200~[\s\S]*?(?:\u001b\[201~|$)/g;

export interface TypedKeys {
  /** What the program gets of these bytes, and whether the detach key came after that. */
  take(bytes: Uint8Array): { readonly text: string; readonly detach: boolean };
  /** Whether the begin of what may be an answer is kept back. */
  readonly holds: boolean;
  /** What was kept back: no more came, so it was typed. */
  release(): string;
}

/** @param now milliseconds */
export function createTypedKeys(detachKey: DetachKey | null, now = () => performance.now()): TypedKeys {
  const decoder = new TextDecoder();
  let held = '';
  let readAt = now();
  /** What the program has got, as far as it says whether a paste goes on. */
  let before = '';

  /** Where the detach key was typed; -1: it was not. In a paste it is text. */
  function detachedAt(text: string): number {
    const typed = (before + text).replaceAll(PASTES, (paste) => ' '.repeat(paste.length));
    return detachKey?.pattern.exec(typed.slice(before.length))?.index ?? -1;
  }
  /** Notes what the program gets. */
  function passed(text: string): string {
    const all = before + text;
    const isPasting = all.lastIndexOf(PASTE_BEGIN) > all.lastIndexOf(PASTE_END);
    before = (isPasting ? PASTE_BEGIN : '') + all.slice(1 - PASTE_END.length);
    return text;
  }

  return {
    take(bytes) {
      if (now() - readAt > PASTE_PAUSE_MS) before = '';
      readAt = now();
      const text = (held + decoder.decode(bytes, { stream: true })).replaceAll(ANSWER, '');
      held = '';
      const at = detachedAt(text);
      if (at !== -1) return { text: text.slice(0, at), detach: true };
      held = BEGUN.exec(text)?.[0] ?? '';
      return { text: passed(text.slice(0, text.length - held.length)), detach: false };
    },
    get holds() {
      return held !== '';
    },
    release() {
      const text = held;
      held = '';
      return passed(text);
    },
  };
}
