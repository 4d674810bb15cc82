/**
 * The lines of `--output-format stream-json` that we use, as of gemini 0.61.0; only the fields we
 * read.
 */
import { type Static, Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import { parseJsonLine } from '../json.ts';

const Tokens = Type.Integer({ minimum: 0 });

/** `input_tokens` includes cached tokens, `input` does not. `total_tokens` includes thoughts. */
const TokenStats = Type.Object({
  total_tokens: Tokens,
  input_tokens: Tokens,
  output_tokens: Tokens,
  cached: Tokens,
  input: Tokens,
});
export type TokenStats = Static<typeof TokenStats>;

const Stats = Type.Object({
  ...TokenStats.properties,
  models: Type.Optional(Type.Record(Type.String(), TokenStats)),
});
export type Stats = Static<typeof Stats>;

const ResultLine = Type.Object({
  type: Type.Literal('result'),
  status: Type.String(),
  timestamp: Type.Optional(Type.String()),
  error: Type.Optional(
    Type.Object({ type: Type.Optional(Type.String()), message: Type.Optional(Type.String()) }),
  ),
  stats: Type.Optional(Stats),
});
export type ResultLine = Static<typeof ResultLine>;

const GeminiLine = Type.Union([
  Type.Object({
    type: Type.Literal('message'),
    role: Type.Enum(['user', 'assistant']),
    content: Type.String(),
  }),
  Type.Object({
    type: Type.Literal('init'),
    session_id: Type.String(),
    model: Type.Optional(Type.String()),
  }),
  Type.Object({
    type: Type.Literal('tool_use'),
    tool_name: Type.String(),
    tool_id: Type.String(),
    parameters: Type.Optional(Type.Unknown()),
  }),
  Type.Object({
    type: Type.Literal('tool_result'),
    tool_id: Type.String(),
    status: Type.String(),
    output: Type.Optional(Type.String()),
    error: Type.Optional(
      Type.Object({ type: Type.Optional(Type.String()), message: Type.Optional(Type.String()) }),
    ),
  }),
  Type.Object({
    type: Type.Literal('error'),
    severity: Type.Optional(Type.String()),
    message: Type.String(),
  }),
  ResultLine,
]);
export type GeminiLine = Static<typeof GeminiLine>;

const checker = createChecker(GeminiLine);
/** A run must not fail because a newer CLI changed another field of its last line. */
const coreChecker = createChecker(Type.Pick(ResultLine, ['type', 'status']));

/** The line if it is a known one, else null. */
export function parseGeminiLine(line: string): GeminiLine | null {
  const value = parseJsonLine(line);
  if (checker.check(value)) return value;
  return coreChecker.check(value) ? { type: 'result', status: value.status } : null;
}
