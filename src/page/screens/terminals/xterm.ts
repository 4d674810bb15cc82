/** xterm.js in the page: it shows what programs write, in the colours of the page. */
import { FitAddon } from '@xterm/addon-fit';
import { type ITheme, Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import type { TerminalSize } from '../../../protocol/terminal.ts';
import './terminal-style.ts';

export interface Screen {
  readonly terminal: Terminal;
  /** The size that fills its place; null: the place is not shown. */
  fitting(): TerminalSize | null;
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array | string): Promise<void>;
  /** Clears it and gives it a size, after all that was written before. */
  reset(size: TerminalSize): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
  dispose(): void;
}

export interface ScreenOptions {
  /** Where it appears. */
  readonly place: HTMLElement;
  /** The address of the link under the pointer; null: there is none. */
  onLink?(address: string | null): void;
}

/** Bytes that wait to be shown. More of them wait for room. */
const ENOUGH = 256 * 1024;
const SCROLLBACK_LINES = 5000;
const COLOURS = [
  ...['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'],
  ...['brightBlack', 'brightRed', 'brightGreen', 'brightYellow'],
  ...['brightBlue', 'brightMagenta', 'brightCyan', 'brightWhite'],
] as const;

export function createScreen({ place, onLink = () => {} }: ScreenOptions): Screen {
  const terminal = new Terminal({
    scrollback: SCROLLBACK_LINES,
    cursorBlink: false,
    fontFamily: getComputedStyle(place).fontFamily,
    fontSize: 13,
    lineHeight: 1.2,
    minimumContrastRatio: 4.5,
    theme: themeNow(),
    logLevel: 'off',
    linkHandler: {
      // xterm.js has refused all but http and https.
      activate: (event, address) => {
        if (event.ctrlKey || event.metaKey) window.open(address, '_blank', 'noopener,noreferrer');
      },
      hover: (_, address) => onLink(address),
      leave: () => onLink(null),
    },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  answerNothing(terminal);
  terminal.open(place);
  const stopThemes = onTheme(() => {
    terminal.options.theme = themeNow();
  });

  let waiting = 0;
  let wake = (): void => {};
  const until = async (most: number): Promise<void> => {
    while (waiting > most)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  const resize = async ({ cols, rows }: TerminalSize): Promise<void> => {
    await until(0);
    if (cols !== terminal.cols || rows !== terminal.rows) terminal.resize(cols, rows);
  };
  return {
    terminal,
    fitting() {
      const size = fit.proposeDimensions();
      if (size === undefined || !Number.isFinite(size.cols) || !Number.isFinite(size.rows)) return null;
      return { cols: Math.min(size.cols, 1000), rows: Math.min(size.rows, 1000) };
    },
    async write(bytes) {
      waiting += bytes.length;
      terminal.write(bytes, () => {
        waiting -= bytes.length;
        wake();
      });
      await until(ENOUGH);
    },
    async reset(size) {
      await until(0);
      terminal.reset();
      await resize(size);
    },
    resize,
    dispose() {
      stopThemes();
      terminal.dispose();
      waiting = 0;
      wake();
    },
  };
}

/**
 * The server answers the queries of a program, once. Each page would answer again, and what it
 * answers would be typed.
 */
function answerNothing({ parser }: Terminal): void {
  const answered = (): boolean => true;
  for (const id of [
    { final: 'c' },
    { prefix: '>', final: 'c' },
    { prefix: '=', final: 'c' },
    { final: 'n' },
    { prefix: '?', final: 'n' },
    { intermediates: '$', final: 'p' },
    { prefix: '?', intermediates: '$', final: 'p' },
    { prefix: '>', final: 'q' },
    { final: 't' },
  ])
    parser.registerCsiHandler(id, answered);
  parser.registerDcsHandler({ intermediates: '$', final: 'q' }, answered);
  parser.registerDcsHandler({ intermediates: '+', final: 'q' }, answered);
  // Colours of the page stay as they are, and no program gets to the clipboard.
  for (const id of [4, 5, 10, 11, 12, 52, 104, 110, 111, 112]) parser.registerOscHandler(id, answered);
}

function themeNow(): ITheme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    background: value('--card'),
    foreground: value('--ink'),
    cursor: value('--accent'),
    cursorAccent: value('--card'),
    selectionBackground: value('--ansi-selection'),
    scrollbarSliderBackground: value('--ansi-slider'),
    scrollbarSliderHoverBackground: value('--ansi-slider'),
    scrollbarSliderActiveBackground: value('--ansi-slider'),
    ...Object.fromEntries(COLOURS.map((name, index) => [name, value(`--ansi-${index}`)])),
  };
}

/** Calls `act` when the theme of the page, or of the system, has changed. */
function onTheme(act: () => void): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const own = new MutationObserver(act);
  own.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  system.addEventListener('change', act);
  return () => {
    own.disconnect();
    system.removeEventListener('change', act);
  };
}
