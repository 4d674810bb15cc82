import type { ExecutionEvent } from '../../protocol/event.ts';
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { Translator, Verdict } from '../provider.ts';
import { CHANGING_TOOLS } from './command.ts';
import { type GeminiLine, parseGeminiLine, type ResultLine, type Stats, type TokenStats } from './lines.ts';
import { geminiVerdict } from './verdict.ts';

type Line<T extends GeminiLine['type']> = Extract<GeminiLine, { type: T }>;

/**
 * Reads the stream-json of one gemini process. The stream has neither retries nor the model's
 * thoughts, and reports tokens at the end only.
 */
export function createGeminiTranslator(): Translator {
  const tools = createTools();
  /** One text per turn. The last one that is not blank is the answer. */
  const texts: string[] = [];
  let sessionId: string | null = null;
  let turns = 0;
  let result: ResultLine | null = null;
  let lastError: string | null = null;
  let current = '';

  /** The text since the last other line, as a whole. */
  function finishedText(): readonly ExecutionEvent[] {
    if (current === '') return [];
    const text = current;
    current = '';
    texts.push(text);
    return [{ kind: 'text', text }];
  }

  function onMessage(line: Line<'message'>): readonly ExecutionEvent[] {
    if (line.role === 'user') {
      turns = Math.max(turns, 1); // the prompt: the model's first turn begins
      return [];
    }
    if (line.content === '') return [];
    current += line.content;
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
        return [...finishedText(), tools.started(line)];
      case 'tool_result': {
        const ended = tools.ended(line);
        if (tools.idle()) turns += 1; // the model reads the outputs and continues
        return [...finishedText(), ended];
      }
      case 'error':
        lastError = line.message;
        return [
          ...finishedText(),
          { kind: 'warning', code: line.severity ?? 'error', message: line.message },
        ];
      case 'result':
        result = line;
        return [
          ...finishedText(),
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
      const all = current === '' ? texts : [...texts, current];
      const answered = result?.status === 'success';
      return geminiVerdict({
        text: (answered ? all.findLast((text) => text.trim() !== '') : all.join('\n\n')) ?? '',
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

/** The tools of one run. */
interface Tools {
  started(line: Line<'tool_use'>): ExecutionEvent;
  ended(line: Line<'tool_result'>): ExecutionEvent;
  /** Whether no tool runs. */
  idle(): boolean;
  denials(): Verdict['permissionDenials'];
}

function createTools(): Tools {
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

/** A call of a tool that the mode does not offer is a denial, too. */
const isDenial = (tool: string, type: string | undefined): boolean =>
  type === 'policy_violation' || (type === 'tool_not_registered' && CHANGING_TOOLS.includes(tool));

/**
 * Thoughts are only in the total. They are billed as output.
 * https://ai.google.dev/gemini-api/docs/thinking
 */
const tokensOf = (stats: TokenStats): TokenCounts => ({
  inputTokens: stats.input,
  outputTokens: Math.max(stats.output_tokens, stats.total_tokens - stats.input_tokens),
  cacheReadTokens: stats.cached,
  cacheWriteTokens: 0,
});

/** `stats` covers this run alone, even if it resumed a session (gemini 0.61.0). It has no cost. */
const usageOf = (stats: Stats): Usage => ({
  ...tokensOf(stats),
  costUsd: null,
  costBasis: 'unknown',
});

const usageByModel = ({ models = {} }: Stats): Readonly<Record<string, TokenCounts>> =>
  Object.fromEntries(Object.entries(models).map(([name, stats]) => [name, tokensOf(stats)]));
