import type { ExecutionEvent } from '../../protocol/event.ts';
import { blockEvent } from './blocks.ts';
import { createMainText, type MainText } from './main-text.ts';

interface Origin {
  /** Whether the main agent says this; texts of subagents and of users are not the answer. */
  readonly speaks: boolean;
  /** The line the blocks came in. */
  readonly raw: string;
}

export interface ToolCall {
  readonly name: string;
  readonly input: unknown;
}

/** The fold over what messages hold: texts, reasoning, tools and their results. */
export interface ContentFold {
  blocks(content: string | readonly unknown[], origin: Origin): readonly ExecutionEvent[];
  delta(text: string): void;
  messageStarted(): void;
  /** What the main agent has said so far. */
  readonly text: Pick<MainText, 'all' | 'last' | 'turnEnded' | 'clear'>;
  /** Messages the main agent has begun. */
  turns(): number;
  /** The call behind an id; null: there was none. */
  tool(toolId: string): ToolCall | null;
}

/** Starts empty. */
export function createContentFold(): ContentFold {
  const text = createMainText();
  const tools = new Map<string, ToolCall>();
  let turns = 0;

  /** A subagent's tools are shown; what it says passes as it is. */
  function event(block: unknown, { speaks, raw }: Origin): ExecutionEvent {
    const found = blockEvent(block, (toolId) => tools.get(toolId)?.name ?? null);
    if (found?.kind === 'tool.started') tools.set(found.toolId, { name: found.name, input: found.input });
    if (found?.kind === 'tool.started' || found?.kind === 'tool.ended') return found;
    if (found === null || !speaks) return { kind: 'raw', line: raw };
    if (found.kind === 'text') text.block(found.text);
    return found;
  }

  return {
    blocks(content, origin) {
      if (typeof content === 'string') return [{ kind: 'raw', line: origin.raw }];
      const events = content.map((block) => event(block, origin));
      // A line passes as raw once, however many of its blocks are unknown.
      const firstRaw = events.findIndex(({ kind }) => kind === 'raw');
      return events.filter(
        (one, index) =>
          (one.kind !== 'raw' || index === firstRaw) && !(one.kind === 'reasoning' && one.text === ''),
      );
    },
    delta: text.delta,
    messageStarted() {
      turns += 1;
      text.messageStarted();
    },
    turns: () => turns,
    text,
    tool: (toolId) => tools.get(toolId) ?? null,
  };
}
