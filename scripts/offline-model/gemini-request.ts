import type { Message } from './vendor.ts';

/**
 * The parts of a generateContent request that the offline model looks at.
 * https://ai.google.dev/api/generate-content
 */
export interface GenerateRequest {
  readonly contents: readonly { readonly role?: string; readonly parts?: readonly Part[] }[];
  readonly tools?: readonly unknown[];
  readonly generationConfig?: { readonly responseJsonSchema?: unknown };
}

interface Part {
  readonly text?: string;
  readonly thought?: boolean;
  readonly functionCall?: { readonly name?: string };
  readonly functionResponse?: { readonly response?: unknown };
}

/** Checks the shape of a body as far as the offline model relies on it. */
export function isGenerateRequest(body: unknown): body is GenerateRequest {
  if (typeof body !== 'object' || body === null) return false;
  const { contents } = body as Partial<GenerateRequest>; // its one field is checked here
  return Array.isArray(contents) && contents.length > 0;
}

/** Text about itself that the CLI sends to the model in the user's name. */
const OWN_TEXT = /^\s*<(session_context|hook_context|loaded_context|system_reminder)\b/;

/** The conversation in no vendor's words. */
export function conversationOf({ contents }: GenerateRequest): readonly Message[] {
  return contents.map(({ role, parts = [] }): Message => {
    const texts = parts.filter(({ text, thought }) => text !== undefined && thought !== true);
    if (role === 'model') {
      const tools = parts.flatMap(({ functionCall }) => (functionCall ? [functionCall.name ?? ''] : []));
      return { role: 'assistant', text: texts.map(({ text }) => text).join(''), tools };
    }
    const own = texts.filter(({ text = '' }) => !OWN_TEXT.test(text));
    const toolResults = parts.flatMap(({ functionResponse }) =>
      functionResponse ? [JSON.stringify(functionResponse.response ?? '')] : [],
    );
    return {
      role: 'user',
      text: own
        .map(({ text }) => text)
        .join('\n')
        .trim(),
      toolResults,
    };
  });
}

/** A schema in JSON Schema's words: the vendor writes the names of types in capitals. */
export function plainSchema(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(plainSchema);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([name, value]) =>
    name === 'type' && typeof value === 'string' ? [name, value.toLowerCase()] : [name, plainSchema(value)],
  );
  return Object.fromEntries(entries);
}
