/**
 * The runner's lines that we use: its own, and the stream events of the Messages API. Only the
 * fields we read.
 */

import { type Static, Type } from '#typebox';
import { RunnerError, RunnerResult, RunnerRetry } from '../../protocol/anthropic-runner.ts';
import { createChecker } from '../../protocol/checker.ts';
import { nullable } from '../../protocol/schema.ts';
import { parseJsonLine } from '../json.ts';

const Count = Type.Optional(nullable(Type.Integer({ minimum: 0 })));

/** Tokens of one message. Each report is the total so far. */
const MessageUsage = Type.Object({
  input_tokens: Count,
  output_tokens: Count,
  cache_read_input_tokens: Count,
  cache_creation_input_tokens: Count,
});
export type MessageUsage = Static<typeof MessageUsage>;

const block = { index: Type.Integer() };
const RunnerLine = Type.Union([
  Type.Object({
    type: Type.Literal('message_start'),
    message: Type.Object({ model: Type.String(), usage: MessageUsage }),
  }),
  Type.Object({
    type: Type.Literal('content_block_delta'),
    ...block,
    delta: Type.Union([
      Type.Object({ type: Type.Literal('text_delta'), text: Type.String() }),
      Type.Object({ type: Type.Literal('thinking_delta'), thinking: Type.String() }),
      Type.Object({ type: Type.Literal('signature_delta') }),
    ]),
  }),
  Type.Object({ type: Type.Enum(['content_block_start', 'content_block_stop']), ...block }),
  Type.Object({ type: Type.Literal('message_delta'), usage: MessageUsage }),
  Type.Object({ type: Type.Literal('message_stop') }),
  RunnerRetry,
  RunnerResult,
  RunnerError,
]);
export type RunnerLine = Static<typeof RunnerLine>;

const checker = createChecker(RunnerLine);

/** The line if it is a known one, else null. */
export function parseRunnerLine(line: string): RunnerLine | null {
  const value = parseJsonLine(line);
  return checker.check(value) ? value : null;
}
