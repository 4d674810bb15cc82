import { padded } from './anthropic-failure.ts';
import { outputTokens, sse, tokensOf } from './anthropic-stream.ts';
import type { PlanUse } from './behaviour.ts';
import { conversationOf, isResponsesRequest, type ResponsesRequest } from './openai-request.ts';
import type { Ask, Block, Call, Failure, Frame, JsonAnswer, Reading, Turn, Vendor } from './vendor.ts';

const ERROR_CODES: Readonly<Record<number, string>> = {
  401: 'invalid_api_key',
  402: 'insufficient_quota',
  403: 'permission_denied',
  404: 'model_not_found',
  429: 'rate_limit_exceeded',
};

/**
 * The Responses API, as far as the codex CLI uses it.
 * https://platform.openai.com/docs/api-reference/responses
 */
export const openai: Vendor = {
  name: 'openai',
  key: ({ authorization }) => authorization?.replace(/^Bearer /, '') || null,
  read,
  whole: (ask, turn, serial) => ({
    ...head(ask, serial, 'completed'),
    output: turn.blocks.map((block, index) => item(block, itemId(serial, index), 'completed')),
    usage: usage(ask, turn),
  }),
  opening: (ask, serial) => sse('response.created', { response: head(ask, serial, 'in_progress') }),
  *frames(ask, turn, serial) {
    for (const [index, block] of turn.blocks.entries()) yield* blockFrames(block, index, serial);
    const response = { ...head(ask, serial, 'completed'), usage: usage(ask, turn) };
    yield plain(sse('response.completed', { response }));
  },
  failure,
  useHeaders,
};

function read({ method, path, body }: Call): Reading | null {
  if (`${method} ${path}` !== 'POST /v1/responses') return null;
  if (isResponsesRequest(body)) return { kind: 'ask', needsKey: true, ask: askOf(body) };
  const refused = { status: 400, message: 'model: a string, and input: a list, are required.' };
  return { kind: 'fixed', needsKey: true, answer: failure({ ...refused, retryAfterSeconds: null }) };
}

function askOf(body: ResponsesRequest): Ask {
  const schema = body.text?.format?.schema;
  return {
    model: body.model,
    stream: body.stream === true,
    messages: conversationOf(body),
    conversation: body.prompt_cache_key ?? null,
    own: null,
    structured: schema === undefined ? null : { tool: null, schema },
  };
}

const itemId = (serial: number, index: number): string => `item_offline${padded(serial)}x${index}`;
const plain = (text: string): Frame => ({ text, paced: false });

function head(ask: Ask, serial: number, status: string): object {
  return { id: `resp_offline${padded(serial)}`, object: 'response', status, model: ask.model, output: [] };
}

function item(block: Block, id: string, status: 'in_progress' | 'completed'): object {
  const text = block.kind === 'tool' || status === 'in_progress' ? '' : block.pieces.join('');
  switch (block.kind) {
    case 'tool':
      return {
        type: 'function_call',
        id,
        call_id: `call_${id}`,
        name: block.name,
        arguments: JSON.stringify(block.input),
      };
    case 'thinking':
      return { type: 'reasoning', id, summary: text === '' ? [] : [{ type: 'summary_text', text }] };
    case 'text':
      return {
        type: 'message',
        id,
        role: 'assistant',
        content: text === '' ? [] : [{ type: 'output_text', text, annotations: [] }],
      };
  }
}

function* blockFrames(block: Block, index: number, serial: number): Generator<Frame> {
  const id = itemId(serial, index);
  yield plain(
    sse('response.output_item.added', { output_index: index, item: item(block, id, 'in_progress') }),
  );
  if (block.kind === 'text') {
    for (const delta of block.pieces) {
      const fields = { item_id: id, output_index: index, content_index: 0, delta };
      yield { text: sse('response.output_text.delta', fields), paced: true };
    }
  }
  yield plain(sse('response.output_item.done', { output_index: index, item: item(block, id, 'completed') }));
}

/**
 * What people and the model wrote, by the four-characters rule; the cached part is one of the
 * whole.
 */
function usage(ask: Ask, turn: Turn): object {
  const texts = ask.messages.map(
    (entry) => entry.text + (entry.role === 'user' ? entry.toolResults.join('') : ''),
  );
  const input = Math.max(1, tokensOf(texts.join('')));
  const output = outputTokens(turn);
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: input + output,
  };
}

/** How the API tells a login of a plan how much of its first window is used. */
function useHeaders({ percent, resetsInSeconds }: PlanUse): Readonly<Record<string, string>> {
  return {
    'x-codex-primary-used-percent': String(percent),
    'x-codex-primary-window-minutes': '300',
    'x-codex-primary-reset-at': String(Math.ceil(Date.now() / 1000) + resetsInSeconds),
  };
}

function failure({ status, message, retryAfterSeconds, limit }: Failure): JsonAnswer {
  if (limit !== undefined) {
    const { resetsInSeconds } = limit;
    const error = { type: 'usage_limit_reached', message, plan_type: 'plus' };
    return {
      status,
      headers: useHeaders({ percent: 100, resetsInSeconds }),
      body: { error: { ...error, resets_at: Math.ceil(Date.now() / 1000) + resetsInSeconds } },
    };
  }
  const code = ERROR_CODES[status] ?? (status < 500 ? 'invalid_request' : 'server_error');
  return {
    status,
    headers: retryAfterSeconds === null ? {} : { 'retry-after': String(retryAfterSeconds) },
    body: { error: { message, type: status < 500 ? 'invalid_request_error' : 'server_error', code } },
  };
}
