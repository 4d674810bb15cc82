import type { RunnerError, RunnerResult } from '../../protocol/anthropic-runner.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Translator } from '../provider.ts';
import { type MessageUsage, parseRunnerLine, type RunnerLine } from './lines.ts';
import { anthropicVerdict } from './verdict.ts';

type Delta = Extract<RunnerLine, { type: 'content_block_delta' }>['delta'];

/**
 * Reads the lines of one runner. The SDK stops at once when a retry is pointless, so `hopeless` is
 * null.
 */
export function createAnthropicTranslator(request: ResolvedPrompt): Translator {
  const texts: string[] = [];
  let block = { text: '', thinking: '' };
  let model: string | null = null;
  let tokens: TokenCounts | null = null;
  let result: RunnerResult | null = null;
  let failure: RunnerError | null = null;

  const usage = (): Usage | null => (tokens === null ? null : usageOf(tokens));

  function onDelta(delta: Delta): readonly ExecutionEvent[] {
    if (delta.type === 'thinking_delta') block.thinking += delta.thinking;
    if (delta.type !== 'text_delta' || delta.text === '') return [];
    block.text += delta.text;
    return [{ kind: 'text.delta', text: delta.text }];
  }

  function onBlockEnd(): readonly ExecutionEvent[] {
    const { text, thinking } = block;
    block = { text: '', thinking: '' };
    if (text !== '') texts.push(text);
    return [
      ...(thinking === '' ? [] : [{ kind: 'reasoning', text: thinking } as const]),
      ...(text === '' ? [] : [{ kind: 'text', text } as const]),
    ];
  }

  function translate(line: RunnerLine): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'message_start':
        ({ model } = line.message);
        tokens = updatedTokens(tokens, line.message.usage);
        return [];
      case 'content_block_delta':
        return onDelta(line.delta);
      case 'content_block_start':
      case 'message_stop':
        return [];
      case 'content_block_stop':
        return onBlockEnd();
      case 'message_delta': {
        tokens = updatedTokens(tokens, line.usage);
        return [{ kind: 'usage', usage: usageOf(tokens) }];
      }
      case 'retry': {
        const { retry, maxRetries, status } = line;
        const reason = status === null ? 'the API could not be reached' : `the API answered ${status}`;
        return [{ kind: 'api_retry', retry, maxRetries, delayMs: null, status, reason }];
      }
      case 'result':
        result = line;
        return [];
      case 'error':
        failure = line;
        return [];
    }
  }

  return {
    line(raw) {
      const line = parseRunnerLine(raw);
      return line === null ? [{ kind: 'raw', line: raw }] : translate(line);
    },
    get done() {
      return result !== null || failure !== null;
    },
    hopeless: null,
    get progress() {
      const byModel = model === null || tokens === null ? {} : { [model]: tokens };
      return { turns: model === null ? 0 : 1, usage: usage(), byModel };
    },
    end: (exit, stderrTail) =>
      anthropicVerdict({
        request,
        result,
        failure,
        partialText: texts.join('') + block.text,
        usage: usage(),
        exit,
        stderrTail,
      }),
  };
}

/** The counts after one more report. A count that the report leaves out stays. */
const updatedTokens = (before: TokenCounts | null, usage: MessageUsage): TokenCounts => ({
  inputTokens: usage.input_tokens ?? before?.inputTokens ?? 0,
  outputTokens: usage.output_tokens ?? before?.outputTokens ?? 0,
  cacheReadTokens: usage.cache_read_input_tokens ?? before?.cacheReadTokens ?? 0,
  cacheWriteTokens: usage.cache_creation_input_tokens ?? before?.cacheWriteTokens ?? 0,
});

/** The API reports tokens only. The price table gives the cost. */
const usageOf = (tokens: TokenCounts): Usage => ({ ...tokens, costUsd: null, costBasis: 'unknown' });
