import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { Translator } from '../provider.ts';
import { type CursorLine, type CursorResult, type CursorUsage, parseCursorLine } from './lines.ts';
import { createCursorTexts } from './texts.ts';
import { toolEvent } from './tools.ts';
import { cursorVerdict } from './verdict.ts';

const MAX_PLAIN_CHARACTERS = 4096;

/** The fold over the stream-json of one cursor-agent. */
export function createCursorTranslator(): Translator {
  const texts = createCursorTexts();
  const openTools = new Set<string>();
  let session: { readonly id: string; readonly model: string | null } | null = null;
  let thinking = '';
  let turns = 0;
  let modelSpeaks = false;
  let usage: Usage | null = null;
  let result: CursorResult | null = null;
  let plainOutput = '';

  /** The model begins, or goes on with what its tools have said. */
  function speaks(): void {
    if (!modelSpeaks) turns += 1;
    modelSpeaks = true;
  }

  function onThinking(line: Extract<CursorLine, { type: 'thinking' }>): readonly ExecutionEvent[] {
    speaks();
    thinking += line.text ?? '';
    return line.subtype === 'completed' ? endOfThought() : [];
  }

  function endOfThought(): readonly ExecutionEvent[] {
    const text = thinking;
    thinking = '';
    return text === '' ? [] : [{ kind: 'reasoning', text }];
  }

  function onTool(line: Extract<CursorLine, { type: 'tool_call' }>): readonly ExecutionEvent[] {
    if (line.subtype === 'started') {
      speaks();
      openTools.add(line.call_id);
      return [...texts.close(), toolEvent(line)];
    }
    openTools.delete(line.call_id);
    if (openTools.size === 0) modelSpeaks = false;
    return [toolEvent(line)];
  }

  function onResult(line: CursorResult): readonly ExecutionEvent[] {
    result = line;
    const last = texts.close();
    if (line.usage === undefined) return last;
    usage = usageOf(line.usage);
    return [...last, { kind: 'usage', usage }];
  }

  function translate(line: CursorLine): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'system': {
        const { session_id: id, model = null } = line;
        session = { id, model };
        return [{ kind: 'session', sessionId: null, nativeSessionId: id, model }];
      }
      case 'thinking':
        return onThinking(line);
      case 'assistant':
        speaks();
        return [...endOfThought(), ...texts.assistant(line)];
      case 'tool_call':
        return [...endOfThought(), ...onTool(line)];
      case 'result':
        return [...endOfThought(), ...onResult(line)];
    }
  }

  return {
    line(raw) {
      const line = parseCursorLine(raw);
      if (line !== null) return translate(line);
      if (!raw.startsWith('{')) plainOutput = `${plainOutput}${raw}\n`.slice(-MAX_PLAIN_CHARACTERS);
      return [{ kind: 'raw', line: raw }];
    },
    get done() {
      return result !== null;
    },
    hopeless: null,
    get progress() {
      const model = session?.model ?? null;
      return { turns, usage, byModel: usage === null || model === null ? {} : { [model]: usage } };
    },
    end: (exit, stderrTail) =>
      cursorVerdict({
        result,
        partialText: texts.all(),
        nativeSessionId: session?.id ?? null,
        turns,
        usage,
        plainOutput,
        exit,
        stderrTail,
      }),
  };
}

const usageOf = (usage: CursorUsage): Usage => ({
  inputTokens: Math.round(usage.inputTokens ?? 0),
  outputTokens: Math.round(usage.outputTokens ?? 0),
  cacheReadTokens: Math.round(usage.cacheReadTokens ?? 0),
  cacheWriteTokens: Math.round(usage.cacheWriteTokens ?? 0),
  costUsd: null,
  costBasis: 'unknown',
});
