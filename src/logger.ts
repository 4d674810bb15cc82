import { type DestinationStream, type Logger, pino } from 'pino';
import { REDACTED, type Redactor } from './redactor.ts';

/** Fields that may hold a secret or a caller's text; never written whole. */
const SECRET_FIELDS = [
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

/**
 * Creates the process's logger: JSON lines on stdout (or on `destination`), without host name and,
 * with a redactor, without secrets.
 */
export function createLogger(
  level: string,
  destination: DestinationStream = toStdout(),
  redactor: Redactor | null = null,
): Logger {
  const lines: DestinationStream =
    redactor === null ? destination : { write: (line) => destination.write(redactor.text(line)) };
  return pino({ level, base: null, redact: { paths: SECRET_FIELDS, censor: REDACTED } }, lines);
}
