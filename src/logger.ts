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
 * Lines on stdout. Whoever reads them may be gone: they are lost then. pino's own destination would go on writing what it
 * could not, and so keep a process from ending for ever.
 */
function toStdout(): DestinationStream {
  process.stdout.on('error', () => {});
  return { write: (line) => process.stdout.write(line) };
}

/** The one way to make a logger: JSON lines on stdout (or on `destination`), without host name. */
export function createLogger(level: string, destination: DestinationStream = toStdout()): Logger {
  return pino({ level, base: null, redact: { paths: REDACTED, censor: '[redacted]' } }, destination);
}
