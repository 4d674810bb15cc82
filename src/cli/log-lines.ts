/** The server's log for a person at a terminal; everywhere else it is JSON lines. */
import { styleText } from 'node:util';
import { formatDuration, formatUsd, oneLine, visible } from './format.ts';

interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}
type Environment = Readonly<Record<string, string | undefined>>;
type Paint = (style: 'dim' | 'yellow' | 'red', text: string) => string;
type Fields = Readonly<Record<string, unknown>>;

/** pino's numbers. */
export const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
/** Shown in another form, or useless to a person who watches one server. */
const HIDDEN = ['level', 'time', 'msg', 'component', 'err'];

/** The destination of a logger: a stream, with lines for people if it is a terminal. */
export function logTo(stream: Terminal, env: Environment): { write(line: string): void } {
  const plain = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  const paint: Paint = (style, text) => (plain ? text : styleText(style, text, { validateStream: false }));
  return { write: (line) => void stream.write(stream.isTTY === true ? forPeople(line, paint) : line) };
}

/**
 * One line of JSON as `18:04:31 job ended jobId=… status=succeeded`, with the stack of an error
 * below it.
 */
export function forPeople(line: string, paint: Paint): string {
  const fields: Fields = JSON.parse(line);
  const { level, time, msg, component, err } = fields;
  const message = oneLine(String(msg ?? ''));
  const severity = Number(level);
  const head =
    severity >= LEVELS.error
      ? paint('red', `error: ${message}`)
      : severity >= LEVELS.warn
        ? paint('yellow', `warning: ${message}`)
        : message;
  const details = Object.entries(fields)
    .filter(([name, value]) => !HIDDEN.includes(name) && value !== null)
    .filter(([, value]) => !isAllZeros(value))
    .map(detail);
  if (typeof component === 'string' && severity >= LEVELS.warn) details.push(`component=${component}`);
  const parts = [paint('dim', clock(Number(time))), head, paint('dim', details.join(' '))];
  return `${parts.filter(Boolean).join('  ')}\n${stackOf(err)}`;
}

const clock = (time: number): string => new Date(time).toTimeString().slice(0, 8);

/** A start with nothing to recover reports zeros. */
const isAllZeros = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.values(value).every((one) => one === 0);

/** Durations, costs and times as the commands show them. */
function detail([name, value]: readonly [string, unknown]): string {
  if (typeof value === 'number' && name.endsWith('Ms')) {
    return `${name.slice(0, -2)}=${formatDuration(value).replaceAll(' ', '')}`;
  }
  if (typeof value === 'number' && name.endsWith('Usd')) return `${name.slice(0, -3)}=${formatUsd(value)}`;
  if (Array.isArray(value) && value.every((one) => typeof one === 'string')) {
    return `${name}=${value.map(shown).join(',')}`;
  }
  const isTime = typeof value === 'string' && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(value);
  return `${name}=${isTime ? clock(Date.parse(value)) : shown(value)}`;
}

const shown = (value: unknown): string =>
  typeof value === 'string' && /^[^\s"]+$/.test(value) ? visible(value) : visible(JSON.stringify(value));

function stackOf(err: unknown): string {
  if (typeof err !== 'object' || err === null || !('stack' in err)) return '';
  return `${visible(String(err.stack)).replaceAll(/^/gm, '    ')}\n`;
}
