import { type DestinationStream, type Logger, pino } from 'pino';

/** Fields that may hold a secret or a caller's text; never written whole. */
const REDACTED = [
  'token',
  '*.token',
  'password',
  '*.password',
  'authorization',
  '*.authorization',
  'env',
  '*.env',
  'prompt',
  '*.prompt',
];

/**
 * Writes to stdout. Lines are lost when the reader is gone. pino's own destination would keep
 * trying to write them, and the process would never exit.
 */
function toStdout(): DestinationStream {
  process.stdout.on('error', () => {});
  return { write: (line) => process.stdout.write(line) };
}

/** Creates the process's logger: JSON lines on stdout (or on `destination`), without host name. */
export function createLogger(level: string, destination: DestinationStream = toStdout()): Logger {
  return pino({ level, base: null, redact: { paths: REDACTED, censor: '[redacted]' } }, destination);
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
