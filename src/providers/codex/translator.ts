import { type WireError, wireError } from '../../errors.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Translator } from '../provider.ts';
import { type CodexItem, type CodexLine, parseCodexLine, type ThreadUsage } from './lines.ts';
import { codexVerdict, LOGIN_HINT, statusIn } from './verdict.ts';

const RECONNECTING = /^Reconnecting\.\.\. (\d+)\/(\d+)/;

/** Reads the JSON lines of one `codex exec`. */
export function createCodexTranslator(
  request: ResolvedPrompt,
  sessionTokens: TokenCounts | null,
): Translator {
  const texts: string[] = [];
  const openTools = new Set<string>();
  let threadId: string | null = null;
  let turns = 0;
  let usage: Usage | null = null;
  let inThread: TokenCounts | null = null;
  let failure: string | null = null;
  let completed = false;
  let hopeless: WireError | null = null;

  function onError(message: string): readonly ExecutionEvent[] {
    const [, retry, maxRetries] = RECONNECTING.exec(message) ?? [];
    if (retry === undefined) return [{ kind: 'warning', code: 'error', message }];
    const status = statusIn(message);
    if (status === 401 || status === 403) {
      hopeless = wireError('auth.required', `the API refused the login with ${status} (${LOGIN_HINT})`);
    }
    return [
      {
        kind: 'api_retry',
        retry: Number(retry),
        maxRetries: Number(maxRetries),
        delayMs: null,
        status,
        reason: message,
      },
    ];
  }

  function translate(line: CodexLine, raw: string): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'thread.started':
        threadId = line.thread_id;
        return [{ kind: 'session', sessionId: null, nativeSessionId: threadId, model: request.model }];
      case 'turn.started':
        turns += 1;
        return [];
      case 'item.started':
        openTools.add(line.item.id);
        return startedEvents(line.item);
      case 'item.completed': {
        if (line.item.type === 'agent_message') texts.push(line.item.text);
        const wasStarted = openTools.delete(line.item.id);
        if (wasStarted) turns += 1; // the model reads the tool's output and continues
        return completedEvents(line.item, wasStarted);
      }
      case 'turn.completed':
        completed = true;
        if (line.usage === undefined) return [{ kind: 'raw', line: raw }];
        usage = ownUsage(line.usage, sessionTokens);
        inThread = threadTokens(line.usage);
        return [{ kind: 'usage', usage }];
      case 'turn.failed':
        failure = line.error.message;
        return [];
      case 'error':
        return onError(line.message);
    }
  }

  return {
    line(raw) {
      const line = parseCodexLine(raw);
      return line === null ? [{ kind: 'raw', line: raw }] : translate(line, raw);
    },
    get done() {
      return completed || failure !== null;
    },
    get hopeless() {
      return hopeless;
    },
    get progress() {
      // No line names the model: it is known only if the job or the settings name it.
      const byModel = usage === null || request.model === null ? {} : { [request.model]: usage };
      return { turns, usage, byModel, sessionTokens: inThread };
    },
    end: (exit, stderrTail) =>
      codexVerdict({
        request,
        // The answer is the last text that is not blank.
        text: (failure === null ? texts.findLast((text) => text.trim() !== '') : texts.join('\n\n')) ?? '',
        threadId,
        turns,
        usage,
        completed,
        failure: failure === null ? null : { message: failure },
        hopeless,
        exit,
        stderrTail,
      }),
  };
}

/** The tool behind an item; null for an item that is no tool. */
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

function startedEvents(item: CodexItem): readonly ExecutionEvent[] {
  const tool = toolOf(item);
  return tool === null ? [] : [{ kind: 'tool.started', toolId: item.id, ...tool }];
}

/** @param wasStarted whether the item's start was in the stream */
function completedEvents(item: CodexItem, wasStarted: boolean): readonly ExecutionEvent[] {
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
        ...(wasStarted ? [] : startedEvents(item)),
        { kind: 'tool.ended', toolId: item.id, name, isError, output },
      ];
    }
  }
}

const KINDS = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

/** All tokens of the thread. codex counts cached tokens as a part of the input tokens. */
function threadTokens(usage: ThreadUsage): TokenCounts {
  const cacheReadTokens = usage.cached_input_tokens ?? 0;
  const cacheWriteTokens = usage.cache_write_input_tokens ?? 0;
  return {
    inputTokens: Math.max(0, usage.input_tokens - cacheReadTokens - cacheWriteTokens),
    outputTokens: usage.output_tokens,
    cacheReadTokens,
    cacheWriteTokens,
  };
}

/**
 * The tokens of this run: codex counts per thread, and a resumed run continues the thread's
 * figures (observed with 0.169.0).
 * @param before the thread's tokens before this run; null: new, or not known
 */
function ownUsage(thread: ThreadUsage, before: TokenCounts | null): Usage {
  const own = threadTokens(thread);
  if (before !== null) for (const kind of KINDS) own[kind] = Math.max(0, own[kind] - before[kind]);
  return { ...own, costUsd: null, costBasis: 'unknown' };
}
