import { personsText } from './claude-own.ts';
import type { Message } from './vendor.ts';

/**
 * The parts of a Messages API request that the offline model looks at.
 * https://docs.claude.com/en/api/messages
 */
export interface MessagesRequest {
  readonly model: string;
  readonly max_tokens?: number;
  readonly stream?: boolean;
  readonly messages: readonly { readonly role: string; readonly content: string | readonly ContentBlock[] }[];
  readonly tools?: readonly { readonly name?: string; readonly input_schema?: unknown }[];
  readonly system?: string | readonly { readonly text?: string }[];
  readonly thinking?: { readonly type?: string };
  readonly output_config?: { readonly format?: { readonly schema?: unknown } };
}

interface ContentBlock {
  readonly type: string;
  readonly text?: string;
  readonly name?: string;
  readonly content?: string | readonly ContentBlock[];
}

/** Checks the shape of a body as far as the offline model relies on it. */
export function isMessagesRequest(body: unknown): body is MessagesRequest {
  if (typeof body !== 'object' || body === null) return false;
  const { model, messages } = body as Partial<MessagesRequest>; // each field is checked here
  return (
    typeof model === 'string' &&
    Array.isArray(messages) &&
    messages.length > 0 &&
    messages.every((message) => typeof message?.content === 'string' || Array.isArray(message?.content))
  );
}

/** The conversation in no vendor's words; `system` messages are not part of it. */
export function conversationOf(request: MessagesRequest): readonly Message[] {
  const messages: Message[] = [];
  for (const { role, content } of request.messages) {
    const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
    const texts = blocks.filter((block) => block.type === 'text').map((block) => block.text ?? '');
    if (role === 'assistant') {
      const tools = blocks.filter((block) => block.type === 'tool_use').map((block) => block.name ?? '');
      messages.push({ role, text: texts.join(''), tools });
    } else if (role === 'user') {
      const text = texts
        .map(personsText)
        .filter((part) => part !== '')
        .join('\n');
      const toolResults = blocks
        .filter((block) => block.type === 'tool_result')
        .map(({ content }) => plainText(content));
      messages.push({ role, text, toolResults });
    }
  }
  return messages;
}

function plainText(content: ContentBlock['content']): string {
  return typeof content === 'string' ? content : (content ?? []).map((block) => block.text ?? '').join('');
}
