/** Short lines in the shape of claude's, for what the recorded runs do not show. */

import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { Exit } from '../../../../src/protocol/cli.ts';
import type { ExecutionEvent } from '../../../../src/protocol/event.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createClaudeTranslator } from '../../../../src/providers/claude/translator.ts';
import type { Translator, Verdict } from '../../../../src/providers/provider.ts';

type Fields = Readonly<Record<string, unknown>>;

export const init = (fields: Fields = {}): Fields => ({
  type: 'system',
  subtype: 'init',
  session_id: 's1',
  model: 'opus',
  apiKeySource: 'ANTHROPIC_API_KEY',
  ...fields,
});

export const result = (fields: Fields = {}): Fields => ({
  type: 'result',
  subtype: 'success',
  is_error: false,
  result: 'Done.',
  session_id: 's1',
  num_turns: 1,
  terminal_reason: 'completed',
  ...fields,
});

/** A `result` of an API error: its subtype says success. */
export const apiErrorResult = (status: number | null, text: string, fields: Fields = {}): Fields =>
  result({ is_error: true, api_error_status: status, terminal_reason: 'api_error', result: text, ...fields });

export const assistant = (content: readonly Fields[], fields: Fields = {}): Fields => ({
  type: 'assistant',
  message: { id: 'm1', content },
  parent_tool_use_id: null,
  ...fields,
});

export const toolResult = (toolId: string, content: unknown, fields: Fields = {}): Fields => ({
  type: 'user',
  message: { role: 'user', content: [{ type: 'tool_result', tool_use_id: toolId, content }] },
  ...fields,
});

export const stream = (event: Fields, fields: Fields = {}): Fields => ({
  type: 'stream_event',
  event,
  parent_tool_use_id: null,
  ...fields,
});

export const delta = (text: string, fields: Fields = {}): Fields =>
  stream({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }, fields);

export const retry = (status: number, attempt = 1): Fields => ({
  type: 'system',
  subtype: 'api_retry',
  attempt,
  max_retries: 10,
  retry_delay_ms: 500,
  error_status: status,
  error: 'rate_limit',
});

export const modelUsage = (costUSD: number, tokens = 1): Fields => ({
  inputTokens: tokens,
  outputTokens: tokens,
  cacheReadInputTokens: tokens,
  cacheCreationInputTokens: tokens,
  costUSD,
});

export const CLEAN: Exit = { code: 0, signal: null };

export interface Folded {
  readonly translator: Translator;
  readonly events: readonly ExecutionEvent[];
  end(exit?: Exit, stderrTail?: string): Verdict;
}

/** A translator that has seen these lines. */
export function fold(
  lines: readonly Fields[],
  request: Partial<ResolvedPrompt> = {},
  promptId: string | null = null,
): Folded {
  const translator = createClaudeTranslator(resolvedPrompt(request), promptId === null ? {} : { promptId });
  const events = lines.flatMap((line) => translator.line(JSON.stringify(line)));
  return { translator, events, end: (exit = CLEAN, stderrTail = '') => translator.end(exit, stderrTail) };
}
