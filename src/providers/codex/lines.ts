/** The lines of `codex exec --json` that we use, as of codex 0.169.0; only the fields we read. */

import { type Static, Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import { nullable } from '../../protocol/schema.ts';
import { parseJsonLine } from '../json.ts';

const Tokens = Type.Number({ minimum: 0 });

/** Totals of the whole thread. A resumed thread continues to count. */
const ThreadUsage = Type.Object({
  input_tokens: Tokens,
  cached_input_tokens: Type.Optional(Tokens),
  cache_write_input_tokens: Type.Optional(Tokens),
  output_tokens: Tokens,
});
export type ThreadUsage = Static<typeof ThreadUsage>;

const item = { id: Type.String() };
const Item = Type.Union([
  Type.Object({ ...item, type: Type.Literal('agent_message'), text: Type.String() }),
  Type.Object({ ...item, type: Type.Literal('reasoning'), text: Type.String() }),
  Type.Object({
    ...item,
    type: Type.Literal('command_execution'),
    command: Type.String(),
    aggregated_output: Type.Optional(Type.String()),
    exit_code: Type.Optional(nullable(Type.Number())),
    status: Type.String(),
  }),
  Type.Object({
    ...item,
    type: Type.Literal('file_change'),
    changes: Type.Array(Type.Unknown()),
    status: Type.String(),
  }),
  Type.Object({
    ...item,
    type: Type.Literal('mcp_tool_call'),
    server: Type.String(),
    tool: Type.String(),
    status: Type.String(),
  }),
  Type.Object({ ...item, type: Type.Literal('web_search'), query: Type.String() }),
  Type.Object({ ...item, type: Type.Literal('error'), message: Type.String() }),
]);
export type CodexItem = Static<typeof Item>;

const CodexLine = Type.Union([
  Type.Object({ type: Type.Literal('thread.started'), thread_id: Type.String() }),
  Type.Object({ type: Type.Literal('turn.started') }),
  Type.Object({ type: Type.Enum(['item.started', 'item.completed']), item: Item }),
  Type.Object({ type: Type.Literal('turn.completed'), usage: Type.Optional(ThreadUsage) }),
  Type.Object({ type: Type.Literal('turn.failed'), error: Type.Object({ message: Type.String() }) }),
  Type.Object({ type: Type.Literal('error'), message: Type.String() }),
]);
export type CodexLine = Static<typeof CodexLine>;

const checker = createChecker(CodexLine);
/** A run must not fail because its last line reports the usage in another form. */
const coreChecker = createChecker(Type.Object({ type: Type.Literal('turn.completed') }));

/** The line if it is a known one, else null. */
export function parseCodexLine(line: string): CodexLine | null {
  const value = parseJsonLine(line);
  if (checker.check(value)) return value;
  return coreChecker.check(value) ? { type: value.type } : null;
}
