/** What every process logs with. It loads no package: pino would take 4 MB of each worker. */

import type { Redactor } from './redactor.ts';

/** The part of pino's logger that is used below the server. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** pino's numbers. */
const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
export type LogLevel = keyof typeof LEVELS;

/** Writes the lines that pino would write; only the redactor replaces something. */
export function createLineLog(
  lowest: LogLevel,
  redactor: Pick<Redactor, 'text'>,
  write: (line: string) => void = toStdout,
): Log {
  const log = (level: number, fields: object, msg: string): void => {
    if (level < LEVELS[lowest]) return;
    write(redactor.text(`${JSON.stringify({ level, time: Date.now(), ...fields, msg })}\n`));
  };
  return {
    debug: (fields, message) => log(LEVELS.debug, fields, message),
    info: (fields, message) => log(LEVELS.info, fields, message),
    warn: (fields, message) => log(LEVELS.warn, fields, message),
    error: (fields, message) => log(LEVELS.error, fields, message),
  };
}

/** Lines are lost when the reader is gone. */
function toStdout(line: string): void {
  if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => undefined);
  process.stdout.write(line);
}

const SAME_KIND_EVERY_MS = 60_000;
const MAX_KINDS = 1000;

/**
 * Limits log lines for events that may come a hundred times a second: one line per kind and minute.
 * Returns the number of events since the last line, or null when there is no line to write.
 */
export function createLogLimit(now: () => number = () => performance.now()): (kind: string) => number | null {
  const kinds = new Map<string, { at: number; held: number }>();
  return (kind) => {
    const known = kinds.get(kind);
    if (known !== undefined && now() - known.at < SAME_KIND_EVERY_MS) {
      known.held += 1;
      return null;
    }
    kinds.delete(kind);
    kinds.set(kind, { at: now(), held: 0 });
    const [oldest] = kinds.keys();
    if (kinds.size > MAX_KINDS && oldest !== undefined) kinds.delete(oldest);
    return (known?.held ?? 0) + 1;
  };
}
