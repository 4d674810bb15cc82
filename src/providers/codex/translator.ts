import { type WireError, wireError } from '../../errors.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { TokenCounts, Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Translator } from '../provider.ts';
import { LOGIN_HINT, statusIn } from './failure.ts';
import { completedEvents, startedEvents } from './items.ts';
import { type CodexLine, parseCodexLine } from './lines.ts';
import { ownUsage, threadTokens } from './usage.ts';
import { codexVerdict } from './verdict.ts';

const RECONNECTING = /^Reconnecting\.\.\. (\d+)\/(\d+)/;

/** The fold over the JSON lines of one `codex exec`. */
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
        kind: 'retry',
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
        const announced = openTools.delete(line.item.id);
        if (announced) turns += 1; // the model goes on with what its tool has said
        return completedEvents(line.item, announced);
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
      // No line names the model: it is known only when the job or the settings have chosen it.
      const byModel = usage === null || request.model === null ? {} : { [request.model]: usage };
      return { turns, usage, byModel, sessionTokens: inThread };
    },
    end: (exit, stderrTail) =>
      codexVerdict({
        request,
        // The answer is the last thing it said, not an empty last word.
        text: (failure === null ? texts.findLast((text) => text.trim() !== '') : texts.join('\n\n')) ?? '',
        threadId,
        turns,
        usage,
        completed,
        failure,
        hopeless,
        exit,
        stderrTail,
      }),
  };
}
