/** Everything that two terminals must have in common to be the same for a reader. */
import xterm, { type IBuffer, type Terminal } from '@xterm/headless';
import { type Attributes, attributesOf, type CoreBuffer, coreOf } from '../../../src/terminals/xterm-core.ts';

export function terminalOf(cols: number, rows: number): Terminal {
  return new xterm.Terminal({ cols, rows, scrollback: 1000, allowProposedApi: true, logLevel: 'off' });
}

export function feed(terminal: Terminal, bytes: Uint8Array | string): void {
  const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  if (data.length > 0) coreOf(terminal)._writeBuffer.writeSync(data);
}

/** Rows as text, one row a line, with everything that a reader sees of them; then the rest. */
export function stateOf(terminal: Terminal): string {
  const core = coreOf(terminal);
  const { active, normal, alternate } = terminal.buffer;
  const parser = core._inputHandler._parser;
  const parts = [
    rowsOf(normal),
    active === alternate ? rowsOf(alternate) : 'normal',
    `cursor ${active.cursorX} ${active.cursorY} ${core.coreService.isCursorHidden}`,
    `saved ${savedOf(core.buffers.normal, terminal.cols)}`,
    `modes ${JSON.stringify({ ...terminal.modes, synchronizedOutputMode: false })}`,
    `mouse ${core.coreMouseService.activeEncoding}`,
    `style ${JSON.stringify(core.coreService.decPrivateModes.cursorStyle)}`,
    `now ${styleText(core._inputHandler._curAttrData)} ${parser.currentState}`,
  ];
  return parts.join('\n');
}

const savedOf = (buffer: CoreBuffer, cols: number): string =>
  JSON.stringify([
    Math.min(buffer.savedX, cols - 1),
    Math.max(0, buffer.savedY - buffer.ybase),
    buffer.scrollTop,
    buffer.scrollBottom,
    Object.keys(buffer.tabs).filter((x) => Number(x) < cols),
  ]);

/** Empty: the default. */
function styleText(one: Attributes): string {
  const underline = one.getUnderlineStyle();
  const parts = [
    one.isBold() && 'bold',
    one.isDim() && 'dim',
    one.isItalic() && 'italic',
    one.isBlink() && 'blink',
    one.isInverse() && 'inverse',
    one.isInvisible() && 'invisible',
    one.isStrikethrough() && 'strike',
    one.isOverline() && 'over',
    one.isFgRGB() && `f#${one.getFgColor()}`,
    one.isFgPalette() && `f${one.getFgColor()}`,
    backgroundText(one),
    underline > 0 && `u${underline}`,
    underline > 1 && one.isUnderlineColorPalette() && one.getUnderlineColor(),
  ];
  return parts.filter((part) => part !== false && part !== 0 && part !== '').join(' ');
}

function backgroundText(one: Attributes): string {
  if (one.isBgRGB()) return `b#${one.getBgColor()}`;
  return one.isBgPalette() ? `b${one.getBgColor()}` : '';
}

function rowsOf(buffer: IBuffer): string {
  const rows: string[] = [];
  const cell = buffer.getNullCell();
  for (let y = 0; y < buffer.length; y += 1) {
    const line = buffer.getLine(y);
    // The first row's mark cannot be made again: the row before it is gone.
    let text = y > 0 && line?.isWrapped === true ? '>' : ' ';
    for (let x = 0; x < (line?.length ?? 0); x += 1) {
      const one = line?.getCell(x, cell);
      if (one === undefined) continue;
      const chars = one.getChars();
      const style = chars === '' ? backgroundText(attributesOf(one)) : styleText(attributesOf(one));
      // A blank looks like an empty cell.
      text += `${chars === '' || (chars === ' ' && style === backgroundText(attributesOf(one))) ? '·'.repeat(one.getWidth()) : chars}${style === '' ? '' : `{${style}}`}`;
    }
    rows.push(text);
  }
  return rows.join('\n');
}
