import { type WireError, wireError } from '../../errors.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Translator } from '../provider.ts';
import { createContentFold } from './content.ts';
import { LOGIN_HINT } from './failure.ts';
import { type ClaudeLine, parseClaudeLine } from './lines.ts';
import type { ResultLine } from './result-line.ts';
import { createUsageMeter } from './usage.ts';
import { type ClaudeEnd, claudeVerdict } from './verdict.ts';

type Line<T extends ClaudeLine['type']> = Extract<ClaudeLine, { type: T }>;

/** The fold over the stream-json of one claude process. */
export function createClaudeTranslator(request: ResolvedPrompt): Translator {
  const content = createContentFold();
  const meter = createUsageMeter(request.sessionId === null);
  const results: ResultLine[] = [];
  let session: { readonly id: string; readonly model: string | null; readonly keyFromEnv: boolean } | null =
    null;
  let apiError: ClaudeEnd['apiError'] = null;
  let hopeless: WireError | null = null;
  let limitResetsAt: string | null = null;
  let backgroundTasks = 0;
  let turnOpen = true;
  let currentMessage = '';

  function onSystem(line: Line<'system'>): readonly ExecutionEvent[] {
    switch (line.subtype) {
      case 'init': {
        turnOpen = true;
        const model = line.model ?? null;
        const isNew = session?.id !== line.session_id || session.model !== model;
        session = { id: line.session_id, model, keyFromEnv: line.apiKeySource === 'ANTHROPIC_API_KEY' };
        return isNew ? [{ kind: 'session', sessionId: null, nativeSessionId: session.id, model }] : [];
      }
      case 'api_retry':
        return [onRetry(line)];
      case 'permission_denied': {
        const message = line.message ?? `${line.tool_name} is not allowed`;
        return [{ kind: 'warning', code: 'permission_denied', message }];
      }
      case 'background_tasks_changed':
        backgroundTasks = line.tasks.length;
        return [];
      default:
        return [];
    }
  }

  function onRetry(line: Extract<ClaudeLine, { subtype: 'api_retry' }>): ExecutionEvent {
    const status = line.error_status ?? null;
    const reason = line.error ?? 'unknown';
    // A key cannot get better. A login's token may have been renewed, so it has one more try.
    const final = session?.keyFromEnv === true || line.attempt >= 2;
    if ((status === 401 || status === 403) && final) {
      hopeless = wireError('auth.required', `the API refused the login with ${status} (${LOGIN_HINT})`);
    }
    const { attempt: retry, max_retries: maxRetries = null, retry_delay_ms: delayMs = null } = line;
    return { kind: 'retry', retry, maxRetries, delayMs, status, reason };
  }

  function onAssistant(line: Line<'assistant'>, raw: string): readonly ExecutionEvent[] {
    const { message } = line;
    if (line.error) {
      const said = line.message.content.map((block) => ('text' in block ? String(block.text) : '')).join('');
      apiError = { status: line.api_error_status ?? null, errorClass: line.error, message: said };
      return [{ kind: 'warning', code: line.error, message: said }];
    }
    if (message.id && message.usage) meter.sawCall(message.id, message.usage, message.model ?? null);
    apiError = null;
    turnOpen = true;
    return content.blocks(message.content, { speaks: !line.parent_tool_use_id, raw });
  }

  function onStream(line: Line<'stream_event'>): readonly ExecutionEvent[] {
    const { event } = line;
    if (event.type === 'message_start') currentMessage = event.message?.id ?? '';
    const usage = event.message?.usage ?? event.usage;
    if (usage) meter.sawCall(line.api_message_id ?? currentMessage, usage, event.message?.model ?? null);
    if (line.parent_tool_use_id) return [];
    turnOpen = true;
    if (event.type === 'message_start') content.messageStarted();
    if (event.delta?.type !== 'text_delta' || !event.delta.text) return [];
    content.delta(event.delta.text);
    return [{ kind: 'text.delta', text: event.delta.text }];
  }

  function onRateLimit(line: Line<'rate_limit_event'>): ExecutionEvent {
    const event = rateLimitEvent(line);
    limitResetsAt = event.status === 'rejected' ? event.resetsAt : null;
    return event;
  }

  function onResult(result: ResultLine): readonly ExecutionEvent[] {
    results.push(result);
    meter.sawResult(result);
    turnOpen = (result.queued_turn_count ?? 0) > 0;
    const usage = meter.total();
    return usage === null ? [] : [{ kind: 'usage', usage }];
  }

  function translate(line: ClaudeLine, raw: string): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'system':
        return onSystem(line);
      case 'assistant':
        return onAssistant(line, raw);
      case 'user':
        return content.blocks(line.message.content, { speaks: false, raw });
      case 'stream_event':
        return onStream(line);
      case 'rate_limit_event':
        return [onRateLimit(line)];
      case 'result':
        return onResult(line);
    }
  }

  return {
    line(raw, cut = null) {
      const line = parseClaudeLine(raw, cut);
      return line === null ? [{ kind: 'raw', line: raw }] : translate(line, raw);
    },
    get done() {
      return results.length > 0 && !turnOpen && backgroundTasks === 0;
    },
    get answered() {
      return results.length > 0 && !turnOpen;
    },
    get hopeless() {
      return hopeless;
    },
    get progress() {
      return { turns: content.turns(), usage: meter.total(), byModel: meter.byModel() };
    },
    end: (exit, stderrTail) =>
      claudeVerdict({
        request,
        results,
        partialText: content.mainText(),
        nativeSessionId: session?.id ?? null,
        usage: meter.total(),
        apiError,
        hopeless,
        limitResetsAt,
        exit,
        stderrTail,
      }),
  };
}

function rateLimitEvent({
  rate_limit_info: info,
}: Line<'rate_limit_event'>): Extract<ExecutionEvent, { kind: 'rate_limit' }> {
  const resetsAt = typeof info.resetsAt === 'number' ? new Date(info.resetsAt * 1000) : null;
  const valid = resetsAt !== null && !Number.isNaN(resetsAt.getTime());
  return {
    kind: 'rate_limit',
    status: info.status,
    resetsAt: valid ? resetsAt.toISOString() : null,
    limit: info.rateLimitType ?? null,
  };
}
