import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { CursorLine } from './lines.ts';

type AssistantLine = Extract<CursorLine, { type: 'assistant' }>;

const textBlock = Compile(Type.Object({ type: Type.Literal('text'), text: Type.String() }));

/** The fold over what the agent says. */
export interface CursorTexts {
  assistant(line: AssistantLine): readonly ExecutionEvent[];
  /** What was streamed and not repeated as a whole is over: a tool or the end follows. */
  close(): readonly ExecutionEvent[];
  /** All so far. */
  all(): string;
}

/**
 * With `--stream-partial-output` pieces come first and then, before a tool and at the end, the same text once more.
 * A piece has `timestamp_ms` and no `model_call_id`; whatever else comes is a repetition or a whole message
 * (users' recordings of versions up to 2026.09).
 */
export function createCursorTexts(): CursorTexts {
  const texts: string[] = [];
  let open = '';
  let streams = false;

  function close(): readonly ExecutionEvent[] {
    const text = open;
    open = '';
    if (text === '') return [];
    texts.push(text);
    return [{ kind: 'text', text }];
  }

  return {
    assistant({ message, timestamp_ms: at, model_call_id: callId }) {
      const text = message.content.map((block) => (textBlock.Check(block) ? block.text : '')).join('');
      if (text === '') return [];
      if (at !== undefined && callId === undefined) {
        streams = true;
        open += text;
        return [{ kind: 'text.delta', text }];
      }
      if (open !== '') return close();
      if (streams && (text === texts.at(-1) || text === texts.join(''))) return [];
      texts.push(text);
      return [{ kind: 'text', text }];
    },
    close,
    all: () => [...texts, open].filter((text) => text !== '').join('\n\n'),
  };
}
