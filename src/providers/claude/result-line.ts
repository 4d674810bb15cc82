import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { ApiUsage, ModelUsage, maybe } from './api-usage.ts';

/** What a `result` line must say to be one. */
const core = {
  type: Type.Literal('result'),
  subtype: Type.String(),
  is_error: Type.Boolean(),
  result: maybe(Type.String()),
  session_id: maybe(Type.String()),
};

/** The line that ends a turn; a process may write several. */
export const ResultLine = Type.Object({
  ...core,
  errors: maybe(Type.Array(Type.String())),
  num_turns: maybe(Type.Number()),
  terminal_reason: maybe(Type.String()),
  api_error_status: maybe(Type.Number()),
  total_cost_usd: maybe(Type.Number()),
  usage: maybe(ApiUsage),
  model_usage_since_last_result: maybe(Type.Record(Type.String(), ModelUsage)),
  permission_denials: maybe(
    Type.Array(
      Type.Object({
        tool_name: Type.String(),
        tool_use_id: maybe(Type.String()),
        tool_input: Type.Optional(Type.Unknown()),
      }),
    ),
  ),
  structured_output: Type.Optional(Type.Unknown()),
  queued_turn_count: maybe(Type.Number()),
});
export type ResultLine = Static<typeof ResultLine>;

const coreChecker = Compile(Type.Object(core));

/**
 * A `result` line of which only the core is as we know it: a run must not fail because a newer CLI changed
 * a field beside it.
 */
export function readResultLine(value: unknown): ResultLine | null {
  if (!coreChecker.Check(value)) return null;
  const { type, subtype, is_error, result, session_id } = value;
  return { type, subtype, is_error, result: result ?? null, session_id: session_id ?? null };
}
