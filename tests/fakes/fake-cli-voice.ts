import { randomUUID } from 'node:crypto';

const MODEL = 'fake-model';
const COST_USD = 0.01;

/** Writes to stdout; settles when the bytes are with the kernel. */
export type Write = (bytes: string | Buffer) => Promise<void>;

/** Speaks claude's stream-json. */
export interface Voice {
  init(): Promise<void>;
  delta(text: string): Promise<void>;
  toolUse(id: string, name: string, input: unknown): Promise<void>;
  toolResult(id: string, output: string, isError: boolean): Promise<void>;
  /** The last line; gives back whether it says error. */
  result(overrides: Readonly<Record<string, unknown>>): Promise<boolean>;
}

export function createVoice(write: Write, sessionId: string): Voice {
  let pending = '';
  let text = '';
  let messages = 0;
  let nextMessage = 0;
  let results = 0;
  const say = (line: Record<string, unknown>): Promise<void> =>
    write(`${JSON.stringify({ ...line, session_id: sessionId, uuid: randomUUID() })}\n`);
  const stream = (event: Record<string, unknown>) =>
    say({ type: 'stream_event', event, parent_tool_use_id: null });
  const messageUsage = (outputTokens: number) => ({
    input_tokens: 10,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: outputTokens,
  });
  const message = (content: unknown[]) => ({
    id: `msg_fake_${nextMessage}`,
    type: 'message',
    role: 'assistant',
    model: MODEL,
    content,
    stop_reason: null,
    stop_sequence: null,
    usage: messageUsage(1),
  });
  const assistant = (content: unknown[]) =>
    say({ type: 'assistant', message: message(content), parent_tool_use_id: null });
  const user = (content: unknown[]) =>
    say({ type: 'user', message: { role: 'user', content }, parent_tool_use_id: null });
  const flush = async (): Promise<void> => {
    if (pending === '') return;
    await assistant([{ type: 'text', text: pending }]);
    await stream({ type: 'content_block_stop', index: 0 });
    const delta = { stop_reason: 'end_turn', stop_sequence: null };
    await stream({ type: 'message_delta', delta, usage: messageUsage(5) });
    await stream({ type: 'message_stop' });
    text = pending;
    pending = '';
    messages += 1;
  };

  return {
    init: () => {
      messages = 0;
      text = '';
      return say({
        type: 'system',
        subtype: 'init',
        cwd: process.cwd(),
        tools: ['Bash', 'Read'],
        mcp_servers: [],
        model: MODEL,
        permissionMode: 'default',
        slash_commands: [],
        apiKeySource: 'none',
        claude_code_version: '9.9.9',
      });
    },
    async delta(part) {
      if (pending === '') {
        nextMessage += 1;
        await stream({ type: 'message_start', message: message([]) });
        await stream({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
      }
      pending += part;
      await stream({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: part } });
    },
    async toolUse(id, name, input) {
      await flush();
      nextMessage += 1;
      messages += 1;
      await assistant([{ type: 'tool_use', id, name, input }]);
    },
    toolResult: (id, output, isError) =>
      user([{ type: 'tool_result', tool_use_id: id, content: output, is_error: isError }]),
    async result(overrides) {
      await flush();
      const isError = overrides['is_error'] === true;
      results += 1;
      const modelUsage = {
        [MODEL]: {
          inputTokens: 10 * messages,
          outputTokens: 5 * messages,
          cacheReadInputTokens: 0,
          cacheCreationInputTokens: 0,
          webSearchRequests: 0,
          costUSD: COST_USD,
        },
      };
      await say({
        type: 'result',
        subtype: 'success',
        is_error: isError,
        result: text,
        num_turns: messages,
        duration_ms: 10,
        duration_api_ms: 5,
        stop_reason: 'end_turn',
        terminal_reason: 'completed',
        total_cost_usd: COST_USD * results, // of the whole process
        usage: { ...messageUsage(5 * messages), input_tokens: 10 * messages },
        modelUsage,
        permission_denials: [],
        api_error_status: null,
        result_index: 0,
        model_usage_since_last_result: modelUsage,
        ...overrides,
      });
      return isError;
    },
  };
}
