import { Type } from '#typebox';
import { type WireError, wireError } from '../../errors.ts';
import { createChecker } from '../../protocol/checker.ts';
import { isCut } from '../../protocol/cli.ts';
import type { ExecutionEvent, RateLimitEvent } from '../../protocol/event.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { atEpochSeconds } from '../endings.ts';
import type { RunFacts, Translator } from '../provider.ts';
import { createContent, createOpenTools } from './content.ts';
import { PARKED } from './control.ts';
import { accountIn, type ClaudeLine, parseClaudeLine, type ResultLine, windowsIn } from './lines.ts';
import { createBackground, createTurns } from './turns.ts';
import { createUsageMeter } from './usage.ts';
import { type ApiError, type ClaudeEnd, claudeVerdict, LOGIN_HINT, whyBlocked } from './verdict.ts';

/** A line without an event. */
type SilentLine = Line<(typeof SILENT)[number]>;
const SILENT = [
  'control_response',
  'control_request',
  'control_cancel_request',
  'tool_progress',
  'attachment',
] as const;
type Line<T extends ClaudeLine['type']> = Extract<ClaudeLine, { type: T }>;

/** Reads the stream-json of one claude process. */
export function createClaudeTranslator(request: ResolvedPrompt, { promptId }: RunFacts = {}): Translator {
  const content = createContent();
  const meter = createUsageMeter(request.sessionId === null);
  /** Whether the work after the answer belongs to the prompt. */
  const waits = request.background === 'wait';
  const turns = createTurns(promptId ?? null, waits);
  const background = createBackground();
  const tools = createOpenTools();
  let session: { readonly id: string; readonly model: string | null; readonly keyFromEnv: boolean } | null =
    null;
  let apiError: ApiError | null = null;
  /** The main agent's words up to its answer. */
  let saidForPrompt: string | null = null;
  let hopeless: WireError | null = null;
  /** Why the prompt never reached the model. */
  let blocked: WireError | null = null;
  let transcriptLost = false;
  let account: string | null = null;
  const missingServers = createServerWarnings();
  let limit: ClaudeEnd['limit'] = null;
  /** Calls that wait for a person: their denials are none. */
  const parked = new Set<string>();
  /** Answers that lost a part because their line was too long. */
  const cutAnswers = new Set<string | null>();
  let currentMessage = '';

  function onSystem(line: Line<'system'>, raw: string): readonly ExecutionEvent[] {
    switch (line.subtype) {
      case 'init': {
        turns.began();
        const model = line.model ?? null;
        const isNew = session?.id !== line.session_id || session.model !== model;
        session = { id: line.session_id, model, keyFromEnv: line.apiKeySource === 'ANTHROPIC_API_KEY' };
        return [
          ...(isNew
            ? [{ kind: 'session', sessionId: null, nativeSessionId: session.id, model } as const]
            : []),
          ...missingServers(line.mcp_servers),
        ];
      }
      case 'informational':
        blocked = whyBlocked(line.content, true);
        return [{ kind: 'raw', line: raw }];
      case 'session_writes_lost': {
        const lost = line.lost ?? [];
        transcriptLost ||= lost.includes('transcript');
        const what = lost.join(' and ').replace('_', ' ') || 'files';
        const message = `claude could not save its ${what} (${line.error_code ?? 'no reason given'})`;
        return [{ kind: 'warning', code: 'session_writes_lost', message }];
      }
      case 'api_retry':
        return [onRetry(line)];
      case 'permission_denied': {
        const message = line.message ?? `${line.tool_name} is not allowed`;
        return [{ kind: 'warning', code: 'permission_denied', message }];
      }
      case 'background_tasks_changed':
        background.running(line.tasks);
        return [];
      case 'task_started':
        background.started(line.task_id, content.tool(line.tool_use_id)?.input);
        return [{ kind: 'raw', line: raw }];
      case 'task_notification':
        if (line.tool_use_id) tools.ended(line.tool_use_id);
        return [{ kind: 'raw', line: raw }];
      default:
        return [];
    }
  }

  function onRetry(line: Extract<ClaudeLine, { subtype: 'api_retry' }>): ExecutionEvent {
    const status = line.error_status ?? null;
    const reason = line.error ?? 'unknown';
    // A refused key stays refused. A login's token may have been renewed, so it gets one more try.
    const final = session?.keyFromEnv === true || line.attempt >= 2;
    if ((status === 401 || status === 403) && final) {
      hopeless = wireError('auth.required', `the API refused the login with ${status} (${LOGIN_HINT})`);
    }
    const { attempt: retry, max_retries: maxRetries = null, retry_delay_ms: delayMs = null } = line;
    return { kind: 'api_retry', retry, maxRetries, delayMs, status, reason };
  }

  function onAssistant(line: Line<'assistant'>, raw: string): readonly ExecutionEvent[] {
    const { message } = line;
    const agent = line.parent_tool_use_id || null;
    tools.said(agent, message.id ?? null);
    if (line.error) {
      const said = line.message.content.map((block) => ('text' in block ? String(block.text) : '')).join('');
      const { api_error_status: status = null, api_error: name = null, error: errorClass } = line;
      apiError = { status, name, errorClass, message: said };
      return [{ kind: 'warning', code: line.error, message: said }];
    }
    if (message.id && message.usage) meter.sawCall(message.id, message.usage, message.model ?? null);
    apiError = null;
    turns.began();
    const events = content.blocks(message.content, { speaks: agent === null, raw });
    for (const event of events) if (event.kind === 'tool.started') tools.started(event.toolId, agent);
    return events;
  }

  function onUser(line: Line<'user'>, raw: string): readonly ExecutionEvent[] {
    const events = content.blocks(line.message.content, { speaks: false, raw });
    for (const event of events) {
      if (event.kind !== 'tool.ended') continue;
      tools.ended(event.toolId);
      if (event.isError && event.output.includes(PARKED)) parked.add(event.toolId);
      background.toolEnded(event.name, line.tool_use_result);
    }
    return events;
  }

  function onStream(line: Line<'stream_event'>): readonly ExecutionEvent[] {
    const { event } = line;
    if (event.type === 'message_start') {
      currentMessage = event.message?.id ?? '';
      tools.said(line.parent_tool_use_id || null, event.message?.id ?? null);
    }
    const usage = event.message?.usage ?? event.usage;
    if (usage) meter.sawCall(line.api_message_id ?? currentMessage, usage, event.message?.model ?? null);
    if (line.parent_tool_use_id) return [];
    turns.began();
    if (event.type === 'message_start') content.messageStarted();
    if (event.delta?.type !== 'text_delta' || !event.delta.text) return [];
    content.delta(event.delta.text);
    return [{ kind: 'text.delta', text: event.delta.text }];
  }

  function onRateLimit(line: Line<'rate_limit_event'>): readonly RateLimitEvent[] {
    const [event, ...others] = rateLimitEvents(line);
    limit = event.status === 'rejected' ? event : null;
    return [event, ...others];
  }

  function onResult(result: ResultLine): readonly ExecutionEvent[] {
    const owner = turns.ended({ result, lastText: content.text.last(), apiError });
    apiError = null;
    if (!result.parent_tool_use_id) tools.said(null, null);
    content.text.turnEnded();
    if (owner === 'prompt' && !waits) saidForPrompt = content.text.all();
    else if (!turns.resulted) content.text.clear();
    meter.sawResult(result);
    const usage = meter.total();
    return usage === null ? [] : [{ kind: 'usage', usage }];
  }

  function translate(line: Exclude<ClaudeLine, SilentLine>, raw: string): readonly ExecutionEvent[] {
    switch (line.type) {
      case 'system':
        return onSystem(line, raw);
      case 'assistant':
        return onAssistant(line, raw);
      case 'user':
        return onUser(line, raw);
      case 'stream_event':
        return onStream(line);
      case 'rate_limit_event':
        return onRateLimit(line);
      case 'command_lifecycle':
        turns.lifecycle(line.command_uuid, line.state);
        if (line.wakeup_source) background.woke();
        return [];
      case 'result':
        return onResult(line);
    }
  }

  return {
    line(raw, cut = null) {
      const line = parseClaudeLine(raw, cut);
      if (line?.type === 'control_response') account ??= accountIn(line);
      if (line !== null && isSilent(line)) return [];
      if (line?.type === 'result' && isCut(cut, 'result')) cutAnswers.add(line.result ?? null);
      return line === null ? [{ kind: 'raw', line: raw }] : translate(line, raw);
    },
    joined: (messageId) => turns.joined(messageId),
    get deferred() {
      return turns.deferred;
    },
    get done() {
      return (
        turns.resulted && !turns.expectsAnswer && !(waits && (turns.open || background.names().length > 0))
      );
    },
    get answered() {
      return turns.over;
    },
    get busy() {
      const waiting = waits && turns.resulted && !turns.open && background.names().length > 0;
      return tools.any() || waiting;
    },
    get background() {
      return [...background.names(), ...(turns.resulted && turns.open ? ['a turn of its own'] : [])];
    },
    get hopeless() {
      return hopeless;
    },
    get account() {
      return account;
    },
    get progress() {
      return { turns: content.turns(), usage: meter.total(), byModel: meter.byModel() };
    },
    end(exit, stderrTail) {
      const verdict = claudeVerdict({
        request,
        turns: turns.fold(),
        parked,
        partialText: saidForPrompt ?? content.text.all(),
        // A session that was not saved cannot be resumed. One that was resumed exists in any case.
        nativeSessionId: transcriptLost && request.sessionId === null ? null : (session?.id ?? null),
        blocked,
        usage: meter.total(),
        apiError,
        hopeless,
        limit,
        exit,
        stderrTail,
      });
      return cutAnswers.has(verdict.text) ? { ...verdict, textIsCut: true } : verdict;
    },
  };
}

const isSilent = (line: ClaudeLine): line is SilentLine => SILENT.some((type) => type === line.type);

/** The limit that the vendor named, then the other windows of the plan. */
function rateLimitEvents({
  rate_limit_info: info,
}: Line<'rate_limit_event'>): readonly [RateLimitEvent, ...RateLimitEvent[]] {
  const { rateLimitType: named = null, unifiedWindows } = info;
  const eventOf = (
    limit: string | null,
    window: Omit<typeof info, 'status'>,
    status: string,
  ): RateLimitEvent => ({
    kind: 'rate_limit',
    status,
    resetsAt: typeof window.resetsAt === 'number' ? atEpochSeconds(window.resetsAt) : null,
    limit,
    use: typeof window.utilization === 'number' ? Math.max(0, window.utilization) : null,
  });
  const windows = windowsIn(unifiedWindows);
  const own = named === null ? undefined : windows[named];
  const others = Object.entries(windows).filter(([name]) => name !== named);
  return [
    eventOf(named, { ...own, ...info }, info.status),
    ...others.map(([name, window]) => eventOf(name, window, window.status ?? 'allowed')),
  ];
}

const server = createChecker(Type.Object({ name: Type.String(), status: Type.String() }));

/** By the status of a server that is missing. The run continues without its tools. */
const WHY: Readonly<Record<string, string>> = {
  failed: 'could not be started or reached',
  'needs-auth': 'needs a login',
};

/**
 * Warns once of each MCP server that an `init` line names as missing. Every turn has an `init`
 * line.
 */
export function createServerWarnings(): (servers: unknown) => readonly ExecutionEvent[] {
  const warned = new Set<string>();
  return (servers) =>
    (Array.isArray(servers) ? servers : []).flatMap((one: unknown) => {
      if (!server.check(one) || !Object.hasOwn(WHY, one.status)) return [];
      const message = `the MCP server ${one.name} ${WHY[one.status]}: its tools are missing`;
      if (warned.has(message)) return [];
      warned.add(message);
      return [{ kind: 'warning', code: 'mcp_server_failed', message }];
    });
}
