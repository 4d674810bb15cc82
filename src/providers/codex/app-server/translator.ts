import { type WireError, wireError } from '../../../errors.ts';
import type { ExecutionEvent, RateLimitEvent } from '../../../protocol/event.ts';
import type { TokenCounts, Usage } from '../../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../protocol/prompt.ts';
import { atEpochSeconds } from '../../endings.ts';
import type { Translator } from '../../provider.ts';
import { codexVerdict, LOGIN_HINT } from '../verdict.ts';
import {
  type AppItem,
  type AppTokens,
  deltaNotice,
  errorNotice,
  itemNotice,
  limitsNotice,
  openedThread,
  statusOf,
  type TurnError,
  turnNotice,
  usageNotice,
  warningNotice,
} from './lines.ts';
import { parseRpc, type RpcMessage, THREAD, TURN } from './rpc.ts';

const RECONNECTING = /^Reconnecting\.\.\. (\d+)\/(\d+)/;
const LIMITS = ['primary', 'secondary'] as const;
const SILENT: readonly ExecutionEvent[] = [];

type Notice = Extract<RpcMessage, { kind: 'notice' }>;
type Answer = Extract<RpcMessage, { kind: 'answer' }>;

/** Reads the messages of one turn of `codex app-server`. Other threads are those of its agents. */
export function createAppServerTranslator(request: ResolvedPrompt): Translator {
  const texts: string[] = [];
  /** Texts of messages that have not ended, by item. */
  const partial = new Map<string, string>();
  const openTools = new Set<string>();
  let threadId: string | null = null;
  let turnId: string | null = null;
  let { model } = request;
  let turns = 0;
  let before: TokenCounts | null = null;
  let usage: Usage | null = null;
  let inThread: TokenCounts | null = null;
  let ended: 'completed' | 'interrupted' | 'failed' | null = null;
  let failure: TurnError | null = null;
  let hopeless: WireError | null = null;
  let windows: readonly RateLimitEvent[] = [];

  function onAnswer({ id, result, error }: Answer): readonly ExecutionEvent[] {
    if (id !== THREAD && id !== TURN) return SILENT;
    if (error !== null) {
      if (ended === null) fail({ message: error });
      return SILENT;
    }
    if (id === TURN) return SILENT;
    if (!openedThread.check(result)) {
      fail({ message: 'codex named no thread' });
      return SILENT;
    }
    threadId = result.thread.id;
    model = result.model ?? model;
    return [{ kind: 'session', sessionId: null, nativeSessionId: threadId, model }];
  }

  function fail(error: TurnError): void {
    ended = 'failed';
    failure = error;
  }

  function onNotice({ method, params }: Notice): readonly ExecutionEvent[] | null {
    switch (method) {
      case 'turn/started':
        if (!turnNotice.check(params)) return null;
        if (params.threadId !== threadId) return SILENT;
        turnId = params.turn.id;
        turns += 1;
        return SILENT;
      case 'turn/completed':
        if (!turnNotice.check(params)) return null;
        if (params.threadId === threadId) onTurnEnd(params.turn);
        return SILENT;
      case 'item/agentMessage/delta':
        if (!deltaNotice.check(params)) return null;
        if (params.threadId !== threadId) return SILENT;
        partial.set(params.itemId, (partial.get(params.itemId) ?? '') + params.delta);
        return [{ kind: 'text.delta', text: params.delta }];
      case 'item/started':
      case 'item/completed':
        if (!itemNotice.check(params)) return null;
        if (params.threadId !== threadId) return SILENT;
        return method === 'item/started' ? onItemStart(params.item) : onItemEnd(params.item);
      case 'thread/tokenUsage/updated':
        if (!usageNotice.check(params)) return null;
        // An opened thread reports what it had used before.
        if (params.threadId !== threadId || params.turnId !== turnId) return SILENT;
        return onUsage(params.tokenUsage);
      case 'account/rateLimits/updated':
        if (!limitsNotice.check(params)) return null;
        return onLimits(params.rateLimits);
      case 'error':
        if (!errorNotice.check(params)) return null;
        return params.threadId === threadId ? onError(params.error, params.willRetry) : SILENT;
      case 'warning':
        if (!warningNotice.check(params)) return null;
        return [{ kind: 'warning', code: 'codex', message: params.message }];
      case 'serverRequest/resolved':
        return SILENT;
      default:
        return null;
    }
  }

  function onTurnEnd({ status, error = null }: { status: string; error?: TurnError | null }): void {
    if (status === 'completed' || status === 'interrupted') ended = status;
    else fail(error ?? failure ?? { message: `codex ended its turn as ${status}` });
  }

  function onItemStart(item: AppItem): readonly ExecutionEvent[] {
    const tool = toolOf(item);
    if (tool === null) return SILENT;
    openTools.add(item.id);
    return [{ kind: 'tool.started', toolId: item.id, ...tool }];
  }

  function onItemEnd(item: AppItem): readonly ExecutionEvent[] {
    partial.delete(item.id);
    switch (item.type) {
      case 'userMessage':
        return SILENT;
      case 'agentMessage':
      case 'plan':
        texts.push(item.text);
        return [{ kind: 'text', text: item.text }];
      case 'reasoning': {
        const text = item.summary.join('\n\n');
        return text === '' ? SILENT : [{ kind: 'reasoning', text }];
      }
      default: {
        const started = openTools.delete(item.id) ? SILENT : onItemStart(item);
        openTools.delete(item.id);
        turns += 1; // the model reads the tool's output and continues
        const isError = 'status' in item && ['failed', 'declined'].includes(item.status);
        const output = item.type === 'commandExecution' ? (item.aggregatedOutput ?? '') : '';
        const name = toolOf(item)?.name ?? null;
        return [...started, { kind: 'tool.ended', toolId: item.id, name, isError, output }];
      }
    }
  }

  /** What the thread had used before is in the first report: its total without its last request. */
  function onUsage({ total, last }: { total: AppTokens; last: AppTokens }): readonly ExecutionEvent[] {
    const all = countsOf(total);
    inThread = all;
    before ??= difference(all, countsOf(last));
    usage = { ...difference(all, before), costUsd: null, costBasis: 'unknown' };
    return [{ kind: 'usage', usage }];
  }

  function onLimits(
    limits: {
      [limit in (typeof LIMITS)[number]]?: { usedPercent: number; resetsAt?: number | null } | null;
    },
  ): readonly ExecutionEvent[] {
    const found = LIMITS.flatMap((limit): RateLimitEvent[] => {
      const window = limits[limit] ?? null;
      if (window === null) return [];
      const resetsAt = typeof window.resetsAt === 'number' ? atEpochSeconds(window.resetsAt) : null;
      return [{ kind: 'rate_limit', status: 'allowed', limit, resetsAt, use: window.usedPercent / 100 }];
    });
    const isNew = JSON.stringify(found) !== JSON.stringify(windows);
    windows = found;
    return isNew ? found : SILENT;
  }

  function onError(error: TurnError, willRetry: boolean): readonly ExecutionEvent[] {
    const { message, additionalDetails, codexErrorInfo } = error;
    if (!willRetry) {
      failure = error; // the end of the turn repeats it
      if (codexErrorInfo !== 'usageLimitExceeded') return SILENT;
      windows = windows.map((window) => ((window.use ?? 0) < 1 ? window : { ...window, status: 'rejected' }));
      return windows.filter(({ status }) => status === 'rejected');
    }
    const status = statusOf(error);
    if (status === 401 || status === 403) {
      hopeless = wireError('auth.required', `the API refused the login with ${status} (${LOGIN_HINT})`);
    }
    const [, retry = '1', max] = RECONNECTING.exec(message) ?? [];
    const reason = additionalDetails ?? message;
    const maxRetries = max === undefined ? null : Number(max);
    return [{ kind: 'api_retry', retry: Number(retry), maxRetries, delayMs: null, status, reason }];
  }

  /** When the limits that refused the turn are over; null: not known. */
  const resetsAt = (): string | null =>
    windows
      .flatMap((window) =>
        window.status === 'rejected' && window.resetsAt !== null ? [window.resetsAt] : [],
      )
      .sort()
      .at(-1) ?? null;

  return {
    line(raw) {
      const message = parseRpc(raw);
      if (message?.kind === 'request') return SILENT; // Control answers it
      if (message?.kind === 'answer') return onAnswer(message);
      return (message && onNotice(message)) ?? [{ kind: 'raw', line: raw }];
    },
    get done() {
      return ended !== null;
    },
    get hopeless() {
      return hopeless;
    },
    get progress() {
      const byModel = usage === null || model === null ? {} : { [model]: usage };
      return { turns, usage, byModel, sessionTokens: inThread };
    },
    end(exit, stderrTail) {
      const all = [...texts, ...partial.values()].filter((text) => text.trim() !== '');
      return codexVerdict({
        request,
        // The answer is the last text that is not blank.
        text: (ended === 'completed' ? all.at(-1) : all.join('\n\n')) ?? '',
        threadId,
        turns,
        usage,
        completed: ended === 'completed',
        failure: failure === null || ended === 'completed' ? null : { ...failure, resetsAt: resetsAt() },
        interrupted: ended === 'interrupted',
        hopeless,
        exit,
        stderrTail,
      });
    },
  };
}

/** The tool behind an item; null for an item that is no tool. */
function toolOf(item: AppItem): { readonly name: string; readonly input: unknown } | null {
  switch (item.type) {
    case 'commandExecution':
      return { name: 'shell', input: { command: item.command } };
    case 'fileChange':
      return { name: 'file_change', input: { changes: item.changes } };
    case 'mcpToolCall':
      return { name: `${item.server}.${item.tool}`, input: item.arguments ?? null };
    case 'webSearch':
      return { name: 'web_search', input: { query: item.query } };
    default:
      return null;
  }
}

/** codex counts cached tokens as a part of the input tokens. */
function countsOf(tokens: AppTokens): TokenCounts {
  const { cachedInputTokens: cacheReadTokens = 0, cacheWriteInputTokens: cacheWriteTokens = 0 } = tokens;
  return {
    inputTokens: Math.max(0, tokens.inputTokens - cacheReadTokens - cacheWriteTokens),
    outputTokens: tokens.outputTokens,
    cacheReadTokens,
    cacheWriteTokens,
  };
}

const difference = (all: TokenCounts, part: TokenCounts): TokenCounts => ({
  inputTokens: Math.max(0, all.inputTokens - part.inputTokens),
  outputTokens: Math.max(0, all.outputTokens - part.outputTokens),
  cacheReadTokens: Math.max(0, all.cacheReadTokens - part.cacheReadTokens),
  cacheWriteTokens: Math.max(0, all.cacheWriteTokens - part.cacheWriteTokens),
});
