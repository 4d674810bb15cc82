/**
 * The state of a terminal as text: writing it into a new terminal of the same size gives the same
 * screen, scrollback, cursor and modes. What the program writes next then has the same effect.
 *
 * The serializer of xterm's addon does not keep the scroll region, the saved cursor, the hidden
 * cursor, the encoding of the mouse and some wrapped lines, so a reader that joins would see less.
 */
import type { IBuffer, IBufferCell, IBufferLine, Terminal } from '@xterm/headless';
import {
  type Attributes,
  attributesOf,
  type CoreBuffer,
  coreOf,
  isExtended,
  linkOf,
  UNDERLINED,
} from './xterm-core.ts';

const TAB_WIDTH = 8;

export function copyOf(terminal: Terminal): string {
  const core = coreOf(terminal);
  const { normal, active, alternate } = terminal.buffer;
  const writer = createWriter(terminal);
  writer.rows(normal);
  writer.state(core.buffers.normal);
  if (active === alternate) {
    writer.reset();
    writer.put('\x1b[?47h\x1b[H');
    writer.rows(alternate);
    writer.state(core.buffers.alt);
  }
  writer.put(modesOf(terminal));
  writer.cursor(active, active === alternate ? core.buffers.alt : core.buffers.normal);
  return writer.text();
}

function createWriter(terminal: Terminal) {
  const { cols, rows: height } = terminal;
  const core = coreOf(terminal);
  const parts: string[] = [];
  const cell = terminal.buffer.normal.getNullCell();
  /** The arguments of SGR and the link in force. */
  let style = '';
  let link = '';

  const put = (text: string): void => {
    parts.push(text);
  };
  /** The last used attributes without extended ones. */
  let plain: Pick<Attributes, 'fg' | 'bg'> | null = null;
  const use = (attributes: Attributes): void => {
    const { fg, bg } = attributes;
    if (plain !== null && plain.fg === fg && plain.bg === bg) return;
    plain = isExtended(attributes) ? null : { fg, bg };
    const next = styleOf(attributes);
    if (next !== style) put(next === '' ? '\x1b[m' : `\x1b[0;${next}m`);
    style = next;
    const uri = core._oscLinkService.getLinkData(linkOf(attributes))?.uri ?? '';
    if (uri !== link) put(`\x1b]8;;${uri}\x1b\\`);
    link = uri;
  };
  const reset = (): void => {
    if (style !== '') put('\x1b[m');
    style = '';
    plain = null;
  };
  const at = (line: IBufferLine | undefined, x: number): IBufferCell => line?.getCell(x, cell) ?? cell;
  const background = (attributes: Attributes): string => {
    const text = colour(attributes, 'bg');
    return text === '' ? '' : `\x1b[0;${text}m`;
  };

  /** Whether the first character of `next` goes to its row by itself, after the last of `line`. */
  function wrapsItself(line: IBufferLine | undefined, next: IBufferLine): boolean {
    const first = at(next, 0);
    if (first.getChars() === '' || first.getWidth() !== 1 || !first.isBgDefault()) return false;
    const last = at(line, cols - 1);
    return last.getChars() !== '' || last.getWidth() === 0;
  }

  /**
   * The rows that only {@link wrapNext} marks as continued. It begins at the begin of its row, so
   * the cursor must not be at the end of the row before.
   */
  function forcedWraps(lines: readonly (IBufferLine | undefined)[]): readonly boolean[] {
    const forced: boolean[] = [];
    for (let y = lines.length - 1; y > 0 && height > 1; y -= 1) {
      const line = lines[y];
      if (line?.isWrapped === true) forced[y] = forced[y + 1] === true || !wrapsItself(lines[y - 1], line);
    }
    return forced;
  }

  /** Marks the next row as a continuation of this empty one. Ends at the begin of this row. */
  function wrapNext(): void {
    reset();
    put(`\x1b[${cols}GXX\r\x1b[X\x1b[A\x1b[${cols}G\x1b[X\r`);
  }

  function row(line: IBufferLine): void {
    let gap = 0;
    let erased = '';
    const skip = (): void => {
      if (gap > 0) put(erased === '' ? `\x1b[${gap}C` : `${erased}\x1b[${gap}X\x1b[${gap}C`);
      if (gap > 0 && erased !== '') {
        style = '?';
        plain = null;
      }
      gap = 0;
      erased = '';
    };
    for (let x = 0; x < cols; x += 1) {
      const one = at(line, x);
      const attributes = attributesOf(one);
      const chars = one.getChars();
      if (chars !== '') {
        skip();
        use(attributes);
        put(chars);
      } else if (one.getWidth() > 0) {
        const fill = one.isBgDefault() ? '' : background(attributes);
        if (fill !== erased) skip();
        erased = fill;
        gap += 1;
      }
    }
    if (erased !== '') skip();
  }

  return {
    put,
    reset,
    text: () => parts.join(''),

    rows(buffer: IBuffer): void {
      // xterm returns the first line again for one after the last.
      const lines = Array.from({ length: buffer.length }, (_, y) => buffer.getLine(y));
      const forced = forcedWraps(lines);
      for (const [y, line] of lines.entries()) {
        if (line === undefined) return;
        const next = lines[y + 1];
        if (forced[y + 1] === true) wrapNext();
        row(line);
        if (forced[y + 1] === true) put('\r\x1b[B');
        else if (next !== undefined && (!next.isWrapped || height === 1)) {
          reset();
          put('\r\n');
        }
      }
    },

    /** What belongs to a buffer beside its rows. Moves the cursor. */
    state(buffer: CoreBuffer): void {
      const stops = Object.keys(buffer.tabs)
        .map(Number)
        .filter((x) => x < cols);
      const isUsual = stops.every((x) => x % TAB_WIDTH === 0) && stops.length === Math.ceil(cols / TAB_WIDTH);
      if (!isUsual) put(`\x1b[3g${stops.map((x) => `\x1b[${x + 1}G\x1bH`).join('')}`);
      put(`\x1b[${Math.max(0, buffer.savedY - buffer.ybase) + 1};${buffer.savedX + 1}H`);
      use(buffer.savedCurAttrData);
      put('\x1b7');
      const { scrollTop, scrollBottom } = buffer;
      if (scrollTop !== 0 || scrollBottom !== height - 1) put(`\x1b[${scrollTop + 1};${scrollBottom + 1}r`);
    },

    /** The cursor, with the character before it: further ones may join that one, or wrap. */
    cursor(buffer: IBuffer, { scrollTop }: CoreBuffer): void {
      const { insertMode, originMode } = terminal.modes;
      const { _parser, _curAttrData } = core._inputHandler;
      const line = buffer.getLine(buffer.baseY + buffer.cursorY);
      const row = buffer.cursorY + 1 - (originMode ? scrollTop : 0);
      const isAtEnd = buffer.cursorX >= cols;
      const before = buffer.cursorX - (at(line, buffer.cursorX - 1).getWidth() === 0 ? 2 : 1);
      const joins = _parser.precedingJoinState !== 0 && buffer.cursorX > 0;
      const chars = before < 0 ? '' : at(line, before).getChars() || (isAtEnd ? ' ' : '');
      const again = (joins || isAtEnd) && chars !== '';
      if (originMode) put('\x1b[?6h');
      put(`\x1b[${row};${(again ? before : Math.min(buffer.cursorX, cols - 1)) + 1}H`);
      if (again) use(attributesOf(at(line, before)));
      const charsets = charsetsOf(core._charsetService);
      if (again && joins && !insertMode) {
        put(charsets + chars);
        return;
      }
      if (again) put(chars);
      put(charsets);
      use(_curAttrData);
      if (insertMode) put('\x1b[4h');
    },
  };
}

/** The arguments of SGR for these attributes; an empty string: the default. */
function styleOf(of: Attributes): string {
  if (of.fg === 0 && of.bg === 0) return '';
  const codes: string[] = [];
  if (of.isBold()) codes.push('1');
  if (of.isDim()) codes.push('2');
  if (of.isItalic()) codes.push('3');
  const single = of.fg & UNDERLINED ? 1 : 0;
  const underline = linkOf(of) === 0 ? of.getUnderlineStyle() || single : single;
  if (underline > 0) codes.push(underline === 1 ? '4' : `4:${underline}`);
  if (of.isBlink()) codes.push('5');
  if (of.isInverse()) codes.push('7');
  if (of.isInvisible()) codes.push('8');
  if (of.isStrikethrough()) codes.push('9');
  if (of.isOverline()) codes.push('53');
  codes.push(colour(of, 'fg'), colour(of, 'bg'));
  if (underline > 0) codes.push(underlineColour(of));
  return codes.filter((code) => code !== '').join(';');
}

function colour(of: Attributes, which: 'fg' | 'bg'): string {
  const value = which === 'fg' ? of.getFgColor() : of.getBgColor();
  const base = which === 'fg' ? 30 : 40;
  if (which === 'fg' ? of.isFgRGB() : of.isBgRGB()) return `${base + 8};2;${bytesOf(value).join(';')}`;
  if (!(which === 'fg' ? of.isFgPalette() : of.isBgPalette())) return '';
  if (value >= 16) return `${base + 8};5;${value}`;
  return String(value < 8 ? base + value : base + 52 + value);
}

function underlineColour(of: Attributes): string {
  const value = of.getUnderlineColor();
  if (of.isUnderlineColorRGB()) return `58:2::${bytesOf(value).join(':')}`;
  return of.isUnderlineColorPalette() ? `58:5:${value}` : '';
}

const bytesOf = (rgb: number): readonly number[] => [(rgb >>> 16) & 255, (rgb >>> 8) & 255, rgb & 255];

/** DEC line drawing is the only other character set that programs still use. */
function charsetsOf({ glevel, _charsets }: ReturnType<typeof coreOf>['_charsetService']): string {
  const designated = ['(', ')', '*', '+'].map((sign, g) =>
    _charsets[g]?.['q'] === '─' ? `\x1b${sign}0` : '',
  );
  return designated.join('') + (glevel === 1 ? '\x0e' : '');
}

const MOUSE = { none: '', x10: '\x1b[?9h', vt200: '\x1b[?1000h', drag: '\x1b[?1002h', any: '\x1b[?1003h' };
const MOUSE_ENCODING: Readonly<Record<string, string>> = { SGR: '\x1b[?1006h', SGR_PIXELS: '\x1b[?1016h' };
const CURSOR_STYLE = { block: 2, underline: 4, bar: 6 };

/** All modes but those that change where and how {@link copyOf} writes. */
function modesOf(terminal: Terminal): string {
  const { modes } = terminal;
  const { coreService, coreMouseService } = coreOf(terminal);
  const { cursorStyle, cursorBlink } = coreService.decPrivateModes;
  const parts = [
    modes.applicationCursorKeysMode && '\x1b[?1h',
    modes.applicationKeypadMode && '\x1b=',
    modes.bracketedPasteMode && '\x1b[?2004h',
    modes.reverseWraparoundMode && '\x1b[?45h',
    modes.sendFocusMode && '\x1b[?1004h',
    !modes.wraparoundMode && '\x1b[?7l',
    MOUSE[modes.mouseTrackingMode],
    MOUSE_ENCODING[coreMouseService.activeEncoding],
    cursorStyle !== undefined && `\x1b[${CURSOR_STYLE[cursorStyle] - (cursorBlink === true ? 1 : 0)} q`,
    coreService.isCursorHidden && '\x1b[?25l',
  ];
  return parts.filter((part) => typeof part === 'string').join('');
}
