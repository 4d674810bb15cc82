/**
 * What the verdicts of all providers share: how a process ended, and the vendor's error in a text.
 */
import { Type } from '#typebox';
import { createChecker } from '../protocol/checker.ts';
import type { Exit } from '../protocol/cli.ts';
import { parseJsonLine } from './json.ts';

const MAX_STDERR_IN_MESSAGE = 500;

/** Seconds since 1970 are below this until the year 5138. Larger values are milliseconds. */
const MAX_EPOCH_SECONDS = 100_000_000_000;

/**
 * A vendor's time in seconds since 1970, as RFC 3339; null: it is no time. A time in milliseconds
 * is read as such.
 */
export function atEpochSeconds(value: number): string | null {
  const at = new Date(value < MAX_EPOCH_SECONDS ? value * 1000 : value);
  return value > 0 && !Number.isNaN(at.getTime()) ? at.toISOString() : null;
}

/** For example `exited with code 1: no such file`. @param stderr only its end is shown */
export function howItEnded(exit: Exit, stderr: string): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was killed by ${exit.signal}`;
  const detail = stderr.trim().slice(-MAX_STDERR_IN_MESSAGE);
  return detail === '' ? how : `${how}: ${detail}`;
}

const answer = createChecker(
  Type.Object({
    error: Type.Object({
      message: Type.String(),
      type: Type.Optional(Type.Unknown()),
      code: Type.Optional(Type.Unknown()),
    }),
  }),
);

/** An error as the vendor's API answered it. */
export interface VendorError {
  readonly message: string;
  readonly type: string | null;
  readonly code: number | null;
}

/**
 * Reads a message in which a CLI repeats the vendor's answer as JSON; null for any other message.
 */
export function vendorError(message: string): VendorError | null {
  const value = parseJsonLine(message);
  if (!answer.check(value)) return null;
  const { message: text, type, code } = value.error;
  return {
    message: text,
    type: typeof type === 'string' ? type : null,
    code: typeof code === 'number' ? code : null,
  };
}
