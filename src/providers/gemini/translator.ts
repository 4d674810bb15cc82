import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Translator } from '../provider.ts';
import { type GeminiLine, parseGeminiLine, type ResultLine } from './lines.ts';
import { createToolFold } from './tools.ts';
import { usageByModel, usageOf } from './usage.ts';
import { geminiVerdict } from './verdict.ts';

/**
 * The fold over the stream-json of one gemini process. Its retries and what its model thinks are not in the
 * stream; tokens are told at the end only.
 */
export function createGeminiTranslator(): Translator {
  const tools = createToolFold();
  /** One text per turn; the last that is not blank is the answer. */
  const texts: string[] = [];
  let sessionId: string | null = null;
  let turns = 0;
  let result: ResultLine | null = null;
  let lastError: string | null = null;
  let speaking = '';

  /** What was said since the last other line, as a whole. */
  function spoken(): readonly ExecutionEvent[] {
    if (speaking === '') return [];
    const text = speaking;
    speaking = '';
    texts.push(text);
    return [{ kind: 'text', text }];
  }

  function onMessage(line: Extract<GeminiLine, { type: 'message' }>): readonly ExecutionEvent[] {
    if (line.role === 'user') {
      turns = Math.max(turns, 1); // the prompt itself: now the model's first turn begins
      return [];
    }
    if (line.content === '') return [];
    speaking += line.content;
    return [{ kind: 'text.delta', text: line.content }];
  }

  function translate(line: GeminiLine): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'init':
        sessionId = line.session_id;
        return [{ kind: 'session', sessionId: null, nativeSessionId: sessionId, model: line.model ?? null }];
      case 'message':
        return onMessage(line);
      case 'tool_use':
        return [...spoken(), tools.started(line)];
      case 'tool_result': {
        const ended = tools.ended(line);
        if (tools.idle()) turns += 1; // the model goes on with what its tools have said
        return [...spoken(), ended];
      }
      case 'error':
        lastError = line.message;
        return [...spoken(), { kind: 'warning', code: line.severity ?? 'error', message: line.message }];
      case 'result':
        result = line;
        return [
          ...spoken(),
          ...(line.stats === undefined ? [] : [{ kind: 'usage', usage: usageOf(line.stats) } as const]),
        ];
    }
  }

  const usage = () => (result?.stats === undefined ? null : usageOf(result.stats));

  return {
    line(raw) {
      const line = parseGeminiLine(raw);
      return line === null ? [{ kind: 'raw', line: raw }] : translate(line);
    },
    get done() {
      return result !== null;
    },
    hopeless: null,
    get progress() {
      return {
        turns,
        usage: usage(),
        byModel: result?.stats === undefined ? {} : usageByModel(result.stats),
      };
    },
    end: (exit, stderrTail) => {
      const said = speaking === '' ? texts : [...texts, speaking];
      const answered = result?.status === 'success';
      return geminiVerdict({
        text: (answered ? said.findLast((text) => text.trim() !== '') : said.join('\n\n')) ?? '',
        nativeSessionId: sessionId,
        turns,
        usage: usage(),
        result,
        lastError,
        permissionDenials: tools.denials(),
        exit,
        stderrTail,
      });
    },
  };
}
