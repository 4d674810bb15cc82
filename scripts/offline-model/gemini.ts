import { padded } from './anthropic-failure.ts';
import { outputTokens, tokensOf } from './anthropic-stream.ts';
import { conversationOf, type GenerateRequest, isGenerateRequest, plainSchema } from './gemini-request.ts';
import type { Ask, Block, Call, Failure, JsonAnswer, Reading, Turn, Vendor } from './vendor.ts';

const STATUS_NAMES: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};
const ROUTE = /^\/v1(?:beta|alpha)?\/models\/([^/:]+):(generateContent|streamGenerateContent|countTokens)$/;
/** The key that is refused everywhere; this vendor does it with 400 where others say 401. */
const WRONG_KEY = 'wrong-key';

/** The Gemini API, as far as the gemini CLI uses it. https://ai.google.dev/api */
export const gemini: Vendor = {
  name: 'gemini',
  key: (headers) => headers['x-goog-api-key']?.toString() || null,
  read,
  whole: (ask, turn, serial) => answer(ask, serial, turn.blocks.flatMap(parts), turn),
  opening: () => '', // the vendor says nothing before the first words
  *frames(ask, turn, serial) {
    for (const block of turn.blocks) {
      for (const part of parts(block)) {
        yield { text: data(answer(ask, serial, [part], null)), paced: block.kind !== 'tool' };
      }
    }
    yield { text: data(answer(ask, serial, [], turn)), paced: false };
  },
  failure,
};

function read(call: Call): Reading | null {
  const [, model = '', action] = (call.method === 'POST' ? ROUTE.exec(call.path) : null) ?? [];
  if (action === undefined) return null;
  const key = gemini.key(call.headers);
  if (key === null || key === WRONG_KEY) return fixed(refusedKey());
  const { body } = call;
  if (!isGenerateRequest(body)) {
    return fixed(failure({ status: 400, message: 'contents is not specified', retryAfterSeconds: null }));
  }
  const ask = askOf(model, body, action === 'streamGenerateContent');
  if (action === 'countTokens') return fixed({ status: 200, body: { totalTokens: inputTokens(ask) } });
  return { kind: 'ask', needsKey: true, ask };
}

const fixed = (given: JsonAnswer): Reading => ({ kind: 'fixed', needsKey: false, answer: given });

function askOf(model: string, body: GenerateRequest, stream: boolean): Ask {
  const schema = body.generationConfig?.responseJsonSchema;
  return {
    model,
    stream,
    messages: conversationOf(body),
    conversation: null,
    // Turns carry the CLI's tools; its own questions (routing, summing up, correcting) carry none.
    own: (body.tools?.length ?? 0) > 0 ? null : 'helper',
    structured: schema === undefined ? null : { tool: null, schema: plainSchema(schema) },
  };
}

const data = (value: object): string => `data: ${JSON.stringify(value)}\r\n\r\n`;

function parts(block: Block): readonly object[] {
  if (block.kind === 'tool') return [{ functionCall: { name: block.name, args: block.input } }];
  return block.pieces.map((text) => (block.kind === 'thinking' ? { text, thought: true } : { text }));
}

/** @param ended the turn that ends here; null: more of it comes */
function answer(ask: Ask, serial: number, content: readonly object[], ended: Turn | null): object {
  const candidate = { content: { role: 'model', parts: content }, index: 0 };
  return {
    candidates: [ended === null ? candidate : { ...candidate, finishReason: 'STOP' }],
    ...(ended === null ? {} : { usageMetadata: usage(ask, ended) }),
    modelVersion: ask.model,
    responseId: `offline${padded(serial)}`,
  };
}

function inputTokens(ask: Ask): number {
  const texts = ask.messages.map(
    (entry) => entry.text + (entry.role === 'user' ? entry.toolResults.join('') : ''),
  );
  return Math.max(1, tokensOf(texts.join('')));
}

/**
 * What people and the model wrote, by the four-characters rule; what it thought is counted apart.
 */
function usage(ask: Ask, turn: Turn): object {
  const said = turn.blocks.filter((block) => block.kind !== 'thinking');
  const candidatesTokenCount = outputTokens({ ...turn, blocks: said });
  const thoughtsTokenCount =
    said.length === turn.blocks.length ? 0 : outputTokens(turn) - candidatesTokenCount;
  const promptTokenCount = inputTokens(ask);
  const totalTokenCount = promptTokenCount + candidatesTokenCount + thoughtsTokenCount;
  const thoughts = thoughtsTokenCount === 0 ? {} : { thoughtsTokenCount };
  return { promptTokenCount, candidatesTokenCount, ...thoughts, totalTokenCount };
}

const DETAIL = 'type.googleapis.com/google.rpc.';

function failure({ status, message, retryAfterSeconds }: Failure): JsonAnswer {
  const name = STATUS_NAMES[status] ?? (status < 500 ? 'INVALID_ARGUMENT' : 'UNKNOWN');
  const retry = { '@type': `${DETAIL}RetryInfo`, retryDelay: `${retryAfterSeconds}s` };
  const details = retryAfterSeconds === null ? {} : { details: [retry] };
  return { status, body: { error: { code: status, message, status: name, ...details } } };
}

function refusedKey(): JsonAnswer {
  const details = [{ '@type': `${DETAIL}ErrorInfo`, reason: 'API_KEY_INVALID', domain: 'googleapis.com' }];
  const message = 'API key not valid. Please pass a valid API key.';
  return { status: 400, body: { error: { code: 400, message, status: 'INVALID_ARGUMENT', details } } };
}
