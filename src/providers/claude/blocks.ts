/** The content blocks of assistant and user messages, as events. */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { ExecutionEvent } from '../../protocol/event.ts';
import { jsonText } from '../json-text.ts';

const textBlock = Compile(Type.Object({ type: Type.Literal('text'), text: Type.String() }));
const thinkingBlock = Compile(Type.Object({ type: Type.Literal('thinking'), thinking: Type.String() }));
const toolUseBlock = Compile(
  Type.Object({
    type: Type.Literal('tool_use'),
    id: Type.String(),
    name: Type.String(),
    input: Type.Optional(Type.Unknown()),
  }),
);
const toolResultBlock = Compile(
  Type.Object({
    type: Type.Literal('tool_result'),
    tool_use_id: Type.String(),
    content: Type.Optional(Type.Unknown()),
    is_error: Type.Optional(Type.Unknown()),
  }),
);

/** The event a block stands for; null for a block we do not know. `toolName` finds the tool behind an id. */
export function blockEvent(
  block: unknown,
  toolName: (toolId: string) => string | null,
): ExecutionEvent | null {
  if (textBlock.Check(block)) return { kind: 'text', text: block.text };
  if (thinkingBlock.Check(block)) return { kind: 'reasoning', text: block.thinking };
  if (toolUseBlock.Check(block)) {
    return { kind: 'tool.started', toolId: block.id, name: block.name, input: block.input ?? null };
  }
  if (toolResultBlock.Check(block)) {
    return {
      kind: 'tool.ended',
      toolId: block.tool_use_id,
      name: toolName(block.tool_use_id),
      isError: block.is_error === true,
      output: outputText(block.content),
    };
  }
  return null;
}

/** A tool's output as text; what is not text (an image) is only named. */
function outputText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return content === null ? '' : (jsonText(content) ?? '');
  return content.map((part: unknown) => (textBlock.Check(part) ? part.text : `[${typeOf(part)}]`)).join('\n');
}

function typeOf(part: unknown): string {
  const type = typeof part === 'object' && part !== null && 'type' in part ? part.type : null;
  return typeof type === 'string' ? type : 'unknown';
}
