import type { Message } from './vendor.ts';

/** The parts of a Responses API request that the offline model looks at. */
export interface ResponsesRequest {
  readonly model: string;
  readonly stream?: boolean;
  readonly input: readonly Item[];
  readonly prompt_cache_key?: string;
  readonly text?: { readonly format?: { readonly schema?: unknown } };
}

interface Item {
  readonly type?: string;
  readonly role?: string;
  readonly content?: string | readonly { readonly text?: string }[];
  readonly name?: string;
  readonly output?: unknown;
}

/** Checks the shape of a body as far as the offline model relies on it. */
export function isResponsesRequest(body: unknown): body is ResponsesRequest {
  if (typeof body !== 'object' || body === null) return false;
  const { model, input } = body as Partial<ResponsesRequest>; // each field is checked here
  return typeof model === 'string' && Array.isArray(input) && input.length > 0;
}

/** Text about itself that codex sends to the model in the user's name. */
const OWN_TEXT = /^\s*<(environment_context|user_instructions|INSTRUCTIONS|turn_aborted)\b|^# AGENTS\.md/;

/** The conversation in no vendor's words; instructions of the developer's are not part of it. */
export function conversationOf(request: ResponsesRequest): readonly Message[] {
  const messages: Message[] = [];
  for (const item of request.input) {
    if (item.type === 'function_call' || item.type === 'custom_tool_call') {
      messages.push({ role: 'assistant', text: '', tools: [item.name ?? ''] });
    } else if (item.type === 'function_call_output' || item.type === 'custom_tool_call_output') {
      messages.push({ role: 'user', text: '', toolResults: [textOf(item.output)] });
    } else if (item.role === 'assistant') {
      messages.push({ role: 'assistant', text: textOf(item.content), tools: [] });
    } else if (item.role === 'user' && !OWN_TEXT.test(textOf(item.content))) {
      messages.push({ role: 'user', text: textOf(item.content).trim(), toolResults: [] });
    }
  }
  return messages;
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return content === undefined ? '' : JSON.stringify(content);
  return content
    .map((part: { readonly text?: unknown }) => (typeof part?.text === 'string' ? part.text : ''))
    .join('');
}
