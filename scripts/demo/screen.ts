/** What the demo prints: numbered steps, the CLI's text as it comes, colours on a terminal only. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Screen {
  title(text: string): void;
  /** Begins the next numbered step. */
  step(text: string): void;
  /** One fact below a step. */
  detail(text: string): void;
  /** A fact with its name. */
  field(name: string, value: string): void;
  /** A piece of a text that comes bit by bit. */
  stream(text: string): void;
  /** A line to copy. */
  command(text: string): void;
}

const INDENT = '   ';
const FIELD_WIDTH = 10;

/**
 * `styleText` leaves colours out when `stream` is no terminal, and obeys NO_COLOR and FORCE_COLOR.
 */
export function createScreen(stream: NodeJS.WriteStream): Screen {
  const paint = (style: Style, text: string): string => styleText(style, text, { stream });
  let steps = 0;
  let midLine = false;

  const line = (text: string): void => {
    stream.write(midLine ? `\n${text}\n` : `${text}\n`);
    midLine = false;
  };

  return {
    title: (text) => line(paint('bold', text)),
    step(text) {
      steps += 1;
      line(`\n${paint(['bold', 'cyan'], `${steps}.`)} ${paint('bold', text)}`);
    },
    detail: (text) => line(`${INDENT}${paint('dim', text)}`),
    field: (name, value) => line(`${INDENT}${paint('dim', name.padEnd(FIELD_WIDTH))}${value}`),
    stream(text) {
      const bar = `${INDENT}${paint('green', '│')} `;
      stream.write(`${midLine ? '' : bar}${text.replaceAll('\n', `\n${bar}`)}`);
      midLine = true;
    },
    command: (text) => line(`${INDENT}${paint('cyan', text)}`),
  };
}
