import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { ApiUsage, ModelUsage, maybe } from './api-usage.ts';

/** What a `result` line must say to be one. */
const core = {
  type: Type.Literal('result'),
  subtype: Type.String(),
  is_error: Type.Boolean(),
};

/** What it may say beside that. */
const details = {
  result: maybe(Type.String()),
  session_id: maybe(Type.String()),
  parent_tool_use_id: maybe(Type.String()),
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
  /** The messages of ours this turn has answered, by the ids they were sent with. */
  user_message_uuid: maybe(Type.String()),
  user_message_uuids: maybe(Type.Array(Type.String())),
  /** What made the CLI begin this turn; left out for a message of ours. */
  origin: maybe(Type.Object({ kind: maybe(Type.String()) })),
  deferred_tool_use: maybe(Type.Object({ name: maybe(Type.String()) })),
};

/** The line that ends a turn; a process may write several. */
export const ResultLine = Type.Object({ ...core, ...details });
export type ResultLine = Static<typeof ResultLine>;

const typeChecker = Compile(Type.Object({ type: core.type }));
const detailCheckers = Object.entries(details).map(([name, schema]) => ({ name, checker: Compile(schema) }));

/**
 * A `result` line without the details that are not as we know them: a run must not fail because a newer CLI changed
 * a field. One of `subtype` and `is_error` tells what the other would; the exit code has a say too.
 */
export function readResultLine(value: unknown): ResultLine | null {
  if (!typeChecker.Check(value)) return null;
  const found: Record<string, unknown> = { ...value };
  const subtype = typeof found['subtype'] === 'string' ? found['subtype'] : null;
  const isError = typeof found['is_error'] === 'boolean' ? found['is_error'] : null;
  if (subtype === null && isError === null) return null;
  const known = detailCheckers.filter(({ name, checker }) => name in found && checker.Check(found[name]));
  // `as`: every field was checked by its own schema.
  return Object.assign(
    {
      type: value.type,
      subtype: subtype ?? (isError ? 'error' : 'success'),
      is_error: isError ?? subtype?.startsWith('error'),
    },
    Object.fromEntries(known.map(({ name }) => [name, found[name]])),
  ) as ResultLine;
}
