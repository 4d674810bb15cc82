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

/** The line as one we know, else null. */
export function parseCursorLine(line: string): CursorLine | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    return checker.Check(value) ? value : null;
  } catch {
    return null; // not JSON: the caller passes it on as raw
  }
}
