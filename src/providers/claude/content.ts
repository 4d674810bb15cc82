/** The content of messages: what the agents say, and the tools they call. */
import { Type } from '#typebox';
import { createChecker } from '../../protocol/checker.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import { jsonText } from '../json.ts';

interface Origin {
  /** Whether the main agent speaks. Texts of subagents and of users are not the answer. */
  readonly speaks: boolean;
  /** The line of the blocks. */
  readonly raw: string;
}

interface ToolCall {
  readonly name: string;
  readonly input: unknown;
}

/** Turns content blocks into events and remembers the answer and the tool calls. */
export interface Content {
  blocks(content: string | readonly unknown[], origin: Origin): readonly ExecutionEvent[];
  delta(text: string): void;
  messageStarted(): void;
  /** The main agent's words so far. */
  readonly text: Pick<MainText, 'all' | 'last' | 'turnEnded' | 'clear'>;
  /** Messages the main agent has begun. */
  turns(): number;
  /** The call with this id; null: there was none. */
  tool(toolId: string): ToolCall | null;
}

/** Starts empty. */
export function createContent(): Content {
  const text = createMainText();
  const tools = new Map<string, ToolCall>();
  let turns = 0;

  /** A subagent's tools are events; its words stay raw lines. */
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
      // One raw event per line, even if several of its blocks are unknown.
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

/** What the main agent has said, complete even if the run stops in the middle of a sentence. */
interface MainText {
  delta(text: string): void;
  /** A whole block. It repeats the deltas before it. */
  block(text: string): void;
  /** A new message begins. Deltas without a block came from a call that failed and is repeated. */
  messageStarted(): void;
  turnEnded(): void;
  /** Drops everything: it was not for the prompt. */
  clear(): void;
  all(): string;
  /** The last block of this turn that is not blank; empty when there is none. */
  last(): string;
}

function createMainText(): MainText {
  let blocks: string[] = [];
  let pending: string[] = [];
  let turnStart = 0;
  return {
    delta: (text) => void pending.push(text),
    block(text) {
      pending = [];
      blocks.push(text);
    },
    messageStarted() {
      pending = [];
    },
    turnEnded() {
      if (pending.length > 0) blocks.push(pending.join(''));
      pending = [];
      turnStart = blocks.length;
    },
    clear() {
      blocks = [];
      pending = [];
      turnStart = 0;
    },
    all: () => [...blocks, pending.join('')].filter((part) => part !== '').join('\n\n'),
    last: () => [...blocks.slice(turnStart), pending.join('')].findLast((part) => part.trim() !== '') ?? '',
  };
}

const textBlock = createChecker(Type.Object({ type: Type.Literal('text'), text: Type.String() }));
const thinkingBlock = createChecker(Type.Object({ type: Type.Literal('thinking'), thinking: Type.String() }));
const toolUseBlock = createChecker(
  Type.Object({
    type: Type.Literal('tool_use'),
    id: Type.String(),
    name: Type.String(),
    input: Type.Optional(Type.Unknown()),
  }),
);
const toolResultBlock = createChecker(
  Type.Object({
    type: Type.Literal('tool_result'),
    tool_use_id: Type.String(),
    content: Type.Optional(Type.Unknown()),
    is_error: Type.Optional(Type.Unknown()),
  }),
);

/** The event of a block; null for an unknown block. `toolName` finds the tool of an id. */
function blockEvent(block: unknown, toolName: (toolId: string) => string | null): ExecutionEvent | null {
  if (textBlock.check(block)) return { kind: 'text', text: block.text };
  if (thinkingBlock.check(block)) return { kind: 'reasoning', text: block.thinking };
  if (toolUseBlock.check(block)) {
    return { kind: 'tool.started', toolId: block.id, name: block.name, input: block.input ?? null };
  }
  if (toolResultBlock.check(block)) {
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

/** A tool's output as text. Other parts (an image) are only named. */
function outputText(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return content === null ? '' : (jsonText(content) ?? '');
  return content.map((part: unknown) => (textBlock.check(part) ? part.text : `[${typeOf(part)}]`)).join('\n');
}

function typeOf(part: unknown): string {
  const type = typeof part === 'object' && part !== null && 'type' in part ? part.type : null;
  return typeof type === 'string' ? type : 'unknown';
}

/** The agent that calls a tool, by the call it runs in; null: the main agent. */
type Agent = string | null;

/**
 * The tools that run now. A tool without a result has ended when the agent that called it
 * continues.
 */
export interface OpenTools {
  /** An agent speaks. A new message shows that the calls of its message before have ended. */
  said(agent: Agent, messageId: string | null): void;
  started(toolId: string, agent: Agent): void;
  /** The result came, or the subagent behind this call has ended: its calls have ended, too. */
  ended(toolId: string): void;
  any(): boolean;
}

/** Starts empty. */
export function createOpenTools(): OpenTools {
  const open = new Map<string, Agent>();
  const messages = new Map<Agent, string>();

  function end(toolId: string): void {
    open.delete(toolId);
    endAllOf(toolId);
  }

  function endAllOf(agent: Agent): void {
    for (const [toolId, caller] of open) if (caller === agent && toolId !== agent) end(toolId);
  }

  return {
    said(agent, messageId) {
      if (messageId !== null && messages.get(agent) === messageId) return; // the calls of one message run together
      endAllOf(agent);
      if (messageId === null) messages.delete(agent);
      else messages.set(agent, messageId);
    },
    started: (toolId, agent) => void open.set(toolId, agent),
    ended: end,
    any: () => open.size > 0,
  };
}
