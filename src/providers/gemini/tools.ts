import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Verdict } from '../provider.ts';
import type { GeminiLine } from './lines.ts';
import { CHANGING_TOOLS } from './tool-policy.ts';

type Line<T extends GeminiLine['type']> = Extract<GeminiLine, { type: T }>;

/** The fold over the tools of one run. */
export interface ToolFold {
  started(line: Line<'tool_use'>): ExecutionEvent;
  ended(line: Line<'tool_result'>): ExecutionEvent;
  /** Whether no tool is running. */
  idle(): boolean;
  denials(): Verdict['permissionDenials'];
}

/** Starts empty. */
export function createToolFold(): ToolFold {
  const open = new Map<string, { readonly name: string; readonly input: unknown }>();
  const denials: { readonly tool: string; readonly input: unknown }[] = [];

  return {
    started({ tool_id: toolId, tool_name: name, parameters: input = null }) {
      open.set(toolId, { name, input });
      return { kind: 'tool.started', toolId, name, input };
    },
    ended({ tool_id: toolId, status, output, error }) {
      const tool = open.get(toolId);
      open.delete(toolId);
      if (tool !== undefined && isDenial(tool.name, error?.type)) {
        denials.push({ tool: tool.name, input: tool.input });
      }
      return {
        kind: 'tool.ended',
        toolId,
        name: tool?.name ?? null,
        isError: status !== 'success',
        output: output || error?.message || '',
      };
    },
    idle: () => open.size === 0,
    denials: () => [...denials],
  };
}

/** A call of a tool that the mode does not offer is a denial too. */
const isDenial = (tool: string, type: string | undefined): boolean =>
  type === 'policy_violation' || (type === 'tool_not_registered' && CHANGING_TOOLS.includes(tool));
