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

/** The one way to make a logger: JSON lines on stdout (or on `destination`), without host name. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const options = { level, base: null, redact: { paths: REDACTED, censor: '[redacted]' } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
