import type { ExecutionEvent } from '../../protocol/event.ts';
import { jsonText } from '../json.ts';
import type { CursorLine } from './lines.ts';

type ToolLine = Extract<CursorLine, { type: 'tool_call' }>;

const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};

/** `{"shellToolCall":{"args":…,"result":…}}`: the key names the tool. Newer tools are called `function`. */
function toolOf({ tool_call: call }: ToolLine): { name: string; input: unknown; result: unknown } {
  const [key = 'unknown', value] = Object.entries(call).find(([, one]) => typeof one === 'object') ?? [];
  const { name, arguments: input, args, result } = fields(value);
  return {
    name: typeof name === 'string' ? name : key.replace(/ToolCall$/, ''),
    input: args ?? input ?? null,
    result,
  };
}

/** A tool that starts or has ended, as an event. */
export function toolEvent(line: ToolLine): ExecutionEvent {
  const { name, input, result } = toolOf(line);
  if (line.subtype === 'started') return { kind: 'tool.started', toolId: line.call_id, name, input };
  const { success } = fields(result);
  return {
    kind: 'tool.ended',
    toolId: line.call_id,
    name,
    isError: success === undefined,
    output: outputText(success ?? result),
  };
}

/** A shell's stdout and a file's content as they are, anything else as JSON. */
function outputText(value: unknown): string {
  const { stdout, content } = fields(value);
  if (typeof stdout === 'string') return stdout;
  if (typeof content === 'string') return content;
  if (typeof value === 'string') return value;
  return value === null ? '' : (jsonText(value) ?? '');
}
