import { failure, padded, useHeaders } from './anthropic-failure.ts';
import { conversationOf, isMessagesRequest, type MessagesRequest } from './anthropic-request.ts';
import {
  blockFrames,
  closing,
  outputTokens,
  sse,
  stopReason,
  tokensOf,
  wholeBlock,
} from './anthropic-stream.ts';
import { claudeOwnRequest } from './claude-own.ts';
import type { Ask, Call, Reading, Vendor } from './vendor.ts';

const MODELS = ['claude-opus-5-5', 'claude-sonnet-5-5', 'claude-haiku-4-5-20251001'];

/**
 * The Messages API, as far as the claude CLI and the vendor's SDK use it.
 * https://docs.claude.com/en/api
 */
export const anthropic: Vendor = {
  name: 'anthropic',
  key(headers) {
    const given = [headers['x-api-key'], headers.authorization?.replace(/^Bearer /, '')];
    return given.find((key) => typeof key === 'string' && key !== '')?.toString() ?? null;
  },
  read,
  whole: (ask, turn, serial) => ({
    ...message(ask, serial),
    content: turn.blocks.map((block, index) => wholeBlock(block, toolId(serial, index))),
    stop_reason: stopReason(turn),
    usage: usage(ask, outputTokens(turn)),
  }),
  opening: (ask, serial) => sse('message_start', { message: message(ask, serial) }) + sse('ping', {}),
  *frames(ask, turn, serial) {
    for (const [index, block] of turn.blocks.entries())
      yield* blockFrames(block, index, toolId(serial, index));
    yield closing(turn, usage(ask, outputTokens(turn)));
  },
  failure,
  useHeaders,
};

function read(call: Call): Reading | null {
  switch (`${call.method} ${call.path}`) {
    case 'HEAD /':
    case 'GET /':
    case 'HEAD /api/hello': // the claude CLI looks there whether the API can be reached
    case 'GET /api/hello':
      return fixed({ offline: true }, false);
    case 'GET /v1/models':
      return fixed(modelList());
    case 'POST /v1/messages/count_tokens': {
      const ask = askOf(call);
      return ask === null ? malformed(call) : fixed({ input_tokens: inputTokens(ask) });
    }
    case 'POST /v1/messages': {
      const ask = askOf(call);
      return ask === null ? malformed(call) : { kind: 'ask', needsKey: true, ask };
    }
    default:
      return null;
  }
}

const fixed = (body: unknown, needsKey = true): Reading => ({
  kind: 'fixed',
  needsKey,
  answer: { status: 200, body },
});

function malformed({ body }: Call): Reading {
  const message =
    body === undefined ? 'The body is no JSON.' : 'model: a string, and messages: a list, are required.';
  return {
    kind: 'fixed',
    needsKey: true,
    answer: failure({ status: 400, message, retryAfterSeconds: null }, 0),
  };
}

function askOf({ headers, body }: Call): Ask | null {
  if (!isMessagesRequest(body)) return null;
  const messages = conversationOf(body);
  const session = headers['x-claude-code-session-id'];
  const agent = headers['x-claude-code-agent-id'] ?? '';
  const lastText = messages.findLast((entry) => entry.role === 'user')?.text ?? '';
  return {
    model: body.model,
    stream: body.stream === true,
    messages,
    conversation: typeof session === 'string' ? `${session} ${agent}` : null,
    own: claudeOwnRequest(headers, body, lastText),
    instructions: textOf(body.system),
    structured: structuredOf(body),
  };
}

const textOf = (system: MessagesRequest['system'] = []): string =>
  typeof system === 'string' ? system : system.map(({ text = '' }) => text).join('\n');

function structuredOf(request: MessagesRequest): Ask['structured'] {
  const schema = request.output_config?.format?.schema;
  if (schema !== undefined) return { tool: null, schema };
  // The claude CLI's --json-schema is a tool of this name.
  const tool = request.tools?.find(({ name }) => name === 'StructuredOutput');
  return tool === undefined ? null : { tool: 'StructuredOutput', schema: tool.input_schema };
}

const toolId = (serial: number, index: number): string => `toolu_offline${padded(serial)}x${index}`;

function message(ask: Ask, serial: number): object {
  const head = { id: `msg_offline${padded(serial)}`, type: 'message', role: 'assistant', model: ask.model };
  return { ...head, content: [], stop_reason: null, stop_sequence: null, usage: usage(ask, 1) };
}

/**
 * Counts what the people and the model wrote, not the CLI's own prompt, which changes with its
 * version and folder.
 */
function inputTokens(ask: Ask): number {
  const texts = ask.messages.map(
    (entry) => entry.text + (entry.role === 'user' ? entry.toolResults.join('') : ''),
  );
  return Math.max(1, tokensOf(texts.join('')));
}

function usage(ask: Ask, output: number): object {
  const cache = { cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };
  return { input_tokens: inputTokens(ask), ...cache, output_tokens: output, service_tier: 'standard' };
}

function modelList(): object {
  const data = MODELS.map((id) => ({
    type: 'model',
    id,
    display_name: id,
    created_at: '2026-01-01T00:00:00Z',
  }));
  return { data, has_more: false, first_id: MODELS[0], last_id: MODELS.at(-1) };
}
