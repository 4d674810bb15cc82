/**
 * The lines of `--output-format stream-json` we use; only the fields we read.
 * https://cursor.com/docs/cli/reference/output-format
 */
import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';

const Tokens = Type.Optional(Type.Number({ minimum: 0 }));

/** Of this run; cached tokens are not in `inputTokens`. Not documented, and not always there. */
export const CursorUsage = Type.Object({
  inputTokens: Tokens,
  outputTokens: Tokens,
  cacheReadTokens: Tokens,
  cacheWriteTokens: Tokens,
});
export type CursorUsage = Static<typeof CursorUsage>;

/** The last line of a run that came to its end. */
export const CursorResult = Type.Object({
  type: Type.Literal('result'),
  subtype: Type.String(),
  is_error: Type.Boolean(),
  result: Type.Optional(Type.String()),
  usage: Type.Optional(CursorUsage),
});
export type CursorResult = Static<typeof CursorResult>;

const CursorLine = Type.Union([
  Type.Object({
    type: Type.Literal('system'),
    subtype: Type.Literal('init'),
    session_id: Type.String({ minLength: 1 }),
    model: Type.Optional(Type.String()),
  }),
  Type.Object({
    type: Type.Literal('assistant'),
    message: Type.Object({ content: Type.Array(Type.Unknown()) }),
    timestamp_ms: Type.Optional(Type.Number()),
    model_call_id: Type.Optional(Type.String()),
  }),
  Type.Object({
    type: Type.Literal('thinking'),
    subtype: Type.Enum(['delta', 'completed']),
    text: Type.Optional(Type.String()),
  }),
  Type.Object({
    type: Type.Literal('tool_call'),
    subtype: Type.Enum(['started', 'completed']),
    call_id: Type.String(),
    tool_call: Type.Record(Type.String(), Type.Unknown()),
  }),
  CursorResult,
]);
export type CursorLine = Static<typeof CursorLine>;

const checker = Compile(CursorLine);
/** A run must not fail because a newer CLI changed a field beside the core of its last line. */
const coreChecker = Compile(Type.Pick(CursorResult, ['type', 'subtype', 'is_error']));

/** The line as one we know, else null. */
export function parseCursorLine(line: string): CursorLine | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    if (checker.Check(value)) return value;
    if (!coreChecker.Check(value)) return null;
    const { type, subtype, is_error } = value;
    return 'result' in value && typeof value.result === 'string'
      ? { type, subtype, is_error, result: value.result }
      : { type, subtype, is_error };
  } catch {
    return null; // not JSON: the caller passes it on as raw
  }
}
