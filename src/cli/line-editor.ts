/** Reads lines from a person at a terminal while a command may print. */
import { createInterface, emitKeypressEvents, type Interface, type Key } from 'node:readline';
import { Writable } from 'node:stream';
import type { Output, Sink } from './output.ts';
import { PASTE_PAUSE_MS } from './typed-keys.ts';

/** A terminal as input: `process.stdin`, or an opened `/dev/tty`. */
export type Terminal = NodeJS.ReadableStream & { setRawMode?(on: boolean): unknown };

export interface LineEditor extends Disposable {
  /** The next line that is no answer to a question; undefined: the person has left (Ctrl-D). */
  next(): Promise<string | undefined>;
  /**
   * Whether the prompt is shown while `next` waits. Otherwise the first key shows it. The output is
   * held while it is shown.
   */
  show(on: boolean): void;
  /**
   * Asks one question, after those that were asked before; null: the person does not answer
   * (Ctrl-D).
   * @param question safe to show
   * @param options.begin text of the line to begin with
   * @throws the reason of `options.signal`
   */
  ask(
    question: string,
    options?: { readonly begin?: string; readonly signal?: AbortSignal },
  ): Promise<string | null>;
}

export interface LineEditorOptions {
  readonly input: Terminal;
  /** The terminal that shows the lines. */
  readonly screen: Sink;
  readonly output: Pick<Output, 'hold'>;
  /** Before each line of `next`; safe to show. */
  readonly prompt: string;
  /** Ctrl-C that clears no line. */
  onCtrlC(): void;
}

interface Question {
  readonly text: string;
  readonly begin: string;
  resolve(line: string | null): void;
}

const ERASE = '\r\u001b[J';
const up = (rows: number): string => (rows === 0 ? '' : `\u001b[${rows}A`);
/** Makes the terminal mark pasted text, whose line breaks do not end the line. */
const MARK_PASTES = { on: '\u001b[?2004h', off: '\u001b[?2004l' };

export function createLineEditor(options: LineEditorOptions): LineEditor {
  const { input, screen, output, prompt, onCtrlC } = options;
  const questions: Question[] = [];
  /** Lines that came before `next`. */
  const lines: (string | undefined)[] = [];
  let receive: ((line: string | undefined) => void) | null = null;
  let wanted = false;
  /** What is on the terminal. */
  let shown: 'nothing' | 'prompt' | 'question' = 'nothing';
  /** Pasted lines that belong to the line that is typed. */
  let pasted: string[] = [];
  let pasting = false;
  let keyAt = 0;
  let disposed = false;
  let editor = open([]);

  /** What readline draws is seen only while a line is shown. */
  function writable(): Writable {
    const stream = new Writable({
      write(chunk, _encoding, done) {
        if (shown !== 'nothing') screen.write(String(chunk));
        done();
      },
    });
    return Object.defineProperty(stream, 'columns', { get: () => screen.columns ?? 80 });
  }

  function open(history: string[]): Interface {
    emitKeypressEvents(input);
    input.on('keypress', onKey); // before readline's own listener
    const opened = createInterface({ input, output: writable(), terminal: true, history });
    let kept = history;
    opened.on('history', (list: string[]) => {
      if (shown === 'question') list.shift(); // an answer is no line to repeat
      kept = [...list];
    });
    opened.on('line', onLine);
    opened.on('SIGINT', () => {
      const clears = shown === 'prompt' && typed() !== '';
      pasted = [];
      if (!clears) return onCtrlC();
      clear();
      settle();
    });
    opened.on('close', () => {
      input.off('keypress', onKey);
      if (disposed) return;
      pasted = [];
      // Ctrl-D closed it. The next line needs another one.
      if (shown !== 'nothing') screen.write('\n');
      const answered = shown === 'question' ? questions.shift() : undefined;
      shown = 'nothing';
      editor = open(kept);
      if (answered === undefined) deliver(undefined);
      else answered.resolve(null);
      settle();
    });
    screen.write(MARK_PASTES.on);
    return opened;
  }

  function clear(): void {
    pasted = [];
    editor.write(null, { ctrl: true, name: 'e' });
    editor.write(null, { ctrl: true, name: 'u' });
  }

  const typed = (): string => pasted.join('') + editor.line;

  function onKey(text: string | undefined, key: Key): void {
    const earlier = keyAt;
    keyAt = performance.now();
    if (key.name === 'paste-start') pasting = true;
    else if (key.name === 'paste-end' || keyAt - earlier > PASTE_PAUSE_MS) pasting = false;
    // Pasted Ctrl-C or Ctrl-D would end this, and the rest of the paste would go to the shell.
    if (pasting && key.ctrl === true) Object.assign(key, { name: 'pasted', sequence: '' });
    const isText = text !== undefined && text >= ' ' && text !== '\u007f' && key.ctrl !== true;
    const begins = isText || key.name === 'paste-start' || key.name === 'up';
    if (shown === 'nothing' && receive !== null && begins) draw('prompt', prompt, '');
  }

  function onLine(line: string): void {
    if (pasting) {
      pasted.push(`${line}\n`);
      return;
    }
    const text = pasted.join('') + line;
    pasted = [];
    const before = shown;
    shown = 'nothing';
    if (before === 'question') questions.shift()?.resolve(text);
    else if (before === 'prompt' || text !== '') deliver(text);
    settle();
  }

  function deliver(line: string | undefined): void {
    const waiting = receive;
    receive = null;
    if (waiting === null) lines.push(line);
    else waiting(line);
  }

  function draw(what: 'prompt' | 'question', text: string, begin: string): void {
    output.hold(true);
    shown = what;
    editor.setPrompt(text);
    editor.prompt(true);
    if (begin !== '') editor.write(begin);
  }

  function erase(): void {
    if (shown !== 'nothing') screen.write(up(editor.getCursorPos().rows) + ERASE);
    shown = 'nothing';
  }

  /** Shows what should be shown now, unless a line is being typed. */
  function settle(): void {
    if (disposed || (shown === 'prompt' && typed() !== '')) return;
    const [question] = questions;
    if (question !== undefined) {
      if (shown === 'question') return;
      erase();
      output.hold(false); // what was printed before the question
      clear(); // keys that came before the question are no answer to it
      draw('question', question.text, question.begin);
    } else if (receive !== null && wanted) {
      if (shown === 'prompt') return;
      erase();
      output.hold(false);
      draw('prompt', prompt, '');
    } else {
      erase();
      output.hold(false);
    }
  }

  return {
    next() {
      if (lines.length > 0) return Promise.resolve(lines.shift());
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      receive = resolve;
      settle();
      return promise;
    },
    show(on) {
      wanted = on;
      settle();
    },
    async ask(text, { begin = '', signal } = {}) {
      signal?.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<string | null>();
      const question = { text, begin, resolve };
      const onAbort = (): void => {
        const isShown = shown === 'question' && questions[0] === question;
        questions.splice(questions.indexOf(question), 1);
        if (isShown) {
          clear();
          erase();
        }
        settle();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      questions.push(question);
      settle();
      return await promise.finally(() => signal?.removeEventListener('abort', onAbort));
    },
    [Symbol.dispose]() {
      erase();
      disposed = true;
      screen.write(MARK_PASTES.off);
      editor.close();
      output.hold(false);
    },
  };
}
