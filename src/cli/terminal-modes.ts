/** Notes what a program switches in a terminal, so that all of it can be switched back. */
export interface TerminalModes {
  /** Output of the program that the terminal gets. */
  see(bytes: Uint8Array): void;
  /** What brings the terminal back to what it was. Then nothing is noted. */
  reset(): string;
}

/** `?7` wraps lines and `?25` shows the cursor: they are on unless a program switches them off. */
const ON_BY_DEFAULT = new Set(['7', '25']);
/** Colours, character set, keypad, insertion, the scrolled part, the form of the cursor. */
const PLAIN = '\u001b[0m\u001b(B\u001b>\u001b[4l\u001b7\u001b[r\u001b8\u001b[0 q';
const LONGEST = 64;

export function createTerminalModes(): TerminalModes {
  let rest = '';
  let modes = new Map<string, boolean>();
  let keyboard = new Set<string>();
  return {
    see(bytes) {
      const text = rest + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
      for (const [, list = '', to] of text.matchAll(/\u001b\[\?([\d;]+)([hl])/g)) {
        for (const mode of list.split(';')) modes.set(mode, to === 'h');
      }
      // Extended keys, of two kinds.
      if (/\u001b\[[>=][\d;]*u/.test(text)) keyboard.add('\u001b[<9u');
      if (/\u001b\[>4;\d+m/.test(text)) keyboard.add('\u001b[>4m');
      const at = text.lastIndexOf('\u001b');
      rest = at === -1 || text.length - at > LONGEST ? '' : text.slice(at);
    },
    reset() {
      const changed = [...modes].filter(([mode, on]) => on !== ON_BY_DEFAULT.has(mode));
      const back = changed.map(([mode, on]) => `\u001b[?${mode}${on ? 'l' : 'h'}`);
      const all = [...keyboard, ...back, PLAIN].join('');
      [rest, modes, keyboard] = ['', new Map(), new Set()];
      return all;
    },
  };
}
