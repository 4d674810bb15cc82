import type { ExecutionEvent } from '../../protocol/event.ts';
import type { CodexItem } from './lines.ts';

/** The tool an item stands for; null for one that is none. */
function toolOf(item: CodexItem): { readonly name: string; readonly input: unknown } | null {
  switch (item.type) {
    case 'command_execution':
      return { name: 'shell', input: { command: item.command } };
    case 'file_change':
      return { name: 'file_change', input: { changes: item.changes } };
    case 'mcp_tool_call':
      return { name: `${item.server}.${item.tool}`, input: null };
    case 'web_search':
      return { name: 'web_search', input: { query: item.query } };
    default:
      return null;
  }
}

/** An item that has begun, as events. */
export function startedEvents(item: CodexItem): readonly ExecutionEvent[] {
  const tool = toolOf(item);
  return tool === null ? [] : [{ kind: 'tool.started', toolId: item.id, ...tool }];
}

/** An item that is over, as events; `announced` says whether its start was seen. */
export function completedEvents(item: CodexItem, announced: boolean): readonly ExecutionEvent[] {
  switch (item.type) {
    case 'agent_message':
      return [{ kind: 'text', text: item.text }];
    case 'reasoning':
      return item.text === '' ? [] : [{ kind: 'reasoning', text: item.text }];
    case 'error':
      return [{ kind: 'warning', code: 'codex', message: item.message }]; // a failure is `turn.failed`
    default: {
      const name = toolOf(item)?.name ?? null;
      const isError = 'status' in item && (item.status === 'failed' || item.status === 'declined');
      const output = item.type === 'command_execution' ? (item.aggregated_output ?? '') : '';
      return [
        ...(announced ? [] : startedEvents(item)),
        { kind: 'tool.ended', toolId: item.id, name, isError, output },
      ];
    }
  }
}
