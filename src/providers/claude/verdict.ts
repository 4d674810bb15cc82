/** How a run ended, by the rule: success = a `result` of the prompt AND not an error AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Verdict } from '../provider.ts';
import { type FailureSigns, knownFailure, stderrFailure } from './failure.ts';
import type { ResultLine } from './result-line.ts';
import { type ApiError, type FoldedTurns, isFailure, type Turn } from './turns.ts';
import { unfinished, whyBlocked } from './unfinished.ts';

/** Everything a finished run has left. */
export interface ClaudeEnd {
  readonly request: ResolvedPrompt;
  readonly turns: FoldedTurns;
  /** What the main agent said, as far as it came. */
  readonly partialText: string;
  readonly nativeSessionId: string | null;
  readonly usage: Usage | null;
  /** The API error a message of a turn without a result carried, unless something went well after it. */
  readonly apiError: ApiError | null;
  /** Why the prompt never reached the model; null: it did, as far as the CLI says. */
  readonly blocked: WireError | null;
  /** Why going on was pointless. */
  readonly hopeless: WireError | null;
  /** RFC 3339: when the limit is lifted that turned the run away; null: none did, or it was not said. */
  readonly limitResetsAt: string | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function claudeVerdict(end: ClaudeEnd): Verdict {
  const { deciding, own, text, structured, modelTurns } = end.turns;
  const permissionDenials = denials(own.map(({ result }) => result));
  const error = deciding === null ? withoutResult(end) : finished(end, deciding, permissionDenials);
  return {
    // What the CLI says instead of asking the model is in the error.
    text: error !== null && (text === '' || deciding?.result.num_turns === 0) ? end.partialText : text,
    structured,
    nativeSessionId: end.nativeSessionId,
    turns: modelTurns,
    usage: end.usage,
    permissionDenials,
    error: error?.code === 'execution.rate_limited' ? { ...error, resetsAt: end.limitResetsAt } : error,
  };
}

function finished(
  end: ClaudeEnd,
  { result, apiError }: Turn,
  denied: Verdict['permissionDenials'],
): WireError | null {
  const { exit, request, turns } = end;
  if (isFailure(result)) {
    const message = failureText(result, apiError?.message ?? null);
    const signs: FailureSigns = {
      status: result.api_error_status ?? apiError?.status ?? null,
      errorClass: apiError?.errorClass ?? null,
      subtype: result.subtype,
      terminalReason: result.terminal_reason ?? null,
      message,
    };
    return knownFailure(signs) ?? end.hopeless ?? wireError('execution.crashed', message);
  }
  // A hook may also stop an answer that is there.
  const asked = (result.num_turns ?? 1) > 0;
  const why = asked
    ? unfinished(result, turns.text !== '' || turns.structured !== null)
    : notAsked(end, result);
  if (why !== null) return why;
  // The CLI leaves with 1 when its last turn failed, also when that was not the prompt's.
  if (exit.code !== 0 && !(exit.code === 1 && turns.failedLater)) {
    return wireError('execution.crashed', `claude answered and then ${howItEnded(end)}`);
  }
  if (request.onPermissionDenied === 'fail' && denied.length > 0) {
    const tools = [...new Set(denied.map(({ tool }) => tool))].join(', ');
    return wireError('execution.permission_denied', `not allowed: ${tools}`);
  }
  if (request.outputSchema !== null && turns.structured === null) {
    return wireError('execution.bad_output', 'claude ended without the structured output that was asked for');
  }
  return null;
}

/** Without a model call only a prompt that was kept from the model is a failure: a CLI may answer by itself. */
const notAsked = ({ blocked }: ClaudeEnd, result: ResultLine): WireError | null =>
  blocked ?? whyBlocked(result.result ?? '', false) ?? unfinished(result, true);

function withoutResult(end: ClaudeEnd): WireError {
  if (end.hopeless !== null) return end.hopeless;
  if (end.exit.code === 0) {
    const what = end.turns.modelTurns === null ? 'a result' : 'an answer to the prompt';
    return wireError('execution.bad_output', `claude ended without ${what}`);
  }
  const signs = { subtype: null, terminalReason: null };
  const known = end.apiError === null ? null : knownFailure({ ...end.apiError, ...signs });
  return (
    known ?? stderrFailure(end.stderrTail) ?? wireError('execution.crashed', `claude ${howItEnded(end)}`)
  );
}

function failureText(last: ResultLine, fallback: string | null): string {
  const said = last.result || last.errors?.join('; ') || fallback;
  return said || `claude ended with ${last.subtype}`;
}

const MAX_STDERR_IN_MESSAGE = 500;

function howItEnded({ exit, stderrTail }: ClaudeEnd): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = stderrTail.trim();
  return said === '' ? how : `${how}: ${said.slice(-MAX_STDERR_IN_MESSAGE)}`;
}

function denials(results: readonly ResultLine[]): Verdict['permissionDenials'] {
  const seen = new Set<string>();
  return results
    .flatMap((result) => result.permission_denials ?? [])
    .filter(({ tool_use_id: id }) => {
      if (typeof id !== 'string') return true;
      return !seen.has(id) && seen.add(id);
    })
    .map((denial) => ({ tool: denial.tool_name, input: denial.tool_input ?? null }));
}
