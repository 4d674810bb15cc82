/** How a run ended, by the rule: success = a `result` line AND not an error AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Exit, Verdict } from '../provider.ts';
import { type FailureSigns, knownFailure, stderrFailure } from './failure.ts';
import type { ResultLine } from './result-line.ts';

/** Everything a finished run has left. */
export interface ClaudeEnd {
  readonly request: ResolvedPrompt;
  /** Every `result` line, in order. The last decides. */
  readonly results: readonly ResultLine[];
  /** What the main agent said, as far as it came. */
  readonly partialText: string;
  readonly nativeSessionId: string | null;
  readonly usage: Usage | null;
  /** The last API error a message carried, until something went well again. */
  readonly apiError: Pick<FailureSigns, 'status' | 'errorClass' | 'message'> | null;
  /** Why going on was pointless. */
  readonly hopeless: WireError | null;
  /** RFC 3339: when the limit is lifted that turned the run away; null: none did, or it was not said. */
  readonly limitResetsAt: string | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function claudeVerdict(end: ClaudeEnd): Verdict {
  const last = end.results.at(-1) ?? null;
  const answered = last !== null && !last.is_error;
  const permissionDenials = denials(end.results);
  const error = last === null ? unfinished(end) : finished(end, last, permissionDenials.length);
  return {
    text: answered ? (last.result ?? end.partialText) : end.partialText,
    structured: answered ? (last.structured_output ?? null) : null,
    nativeSessionId: end.nativeSessionId,
    turns:
      end.results.length === 0
        ? null
        : end.results.reduce((sum, one) => sum + Math.trunc(one.num_turns ?? 0), 0),
    usage: end.usage,
    permissionDenials,
    error: error?.code === 'execution.rate_limited' ? { ...error, resetsAt: end.limitResetsAt } : error,
  };
}

function finished(end: ClaudeEnd, last: ResultLine, denied: number): WireError | null {
  const { exit, request, apiError } = end;
  if (last.is_error) {
    const message = failureText(last, apiError?.message ?? null);
    const signs: FailureSigns = {
      status: last.api_error_status ?? apiError?.status ?? null,
      errorClass: apiError?.errorClass ?? null,
      subtype: last.subtype,
      terminalReason: last.terminal_reason ?? null,
      message,
    };
    return knownFailure(signs) ?? end.hopeless ?? wireError('execution.crashed', message);
  }
  if (exit.code !== 0) {
    return wireError('execution.crashed', `claude answered and then ${howItEnded(end)}`);
  }
  if (request.onPermissionDenied === 'fail' && denied > 0) {
    const tools = [...new Set(denials(end.results).map(({ tool }) => tool))].join(', ');
    return wireError('execution.permission_denied', `not allowed: ${tools}`);
  }
  if (request.outputSchema !== null && (last.structured_output ?? null) === null) {
    return wireError('execution.bad_output', 'claude ended without the structured output that was asked for');
  }
  return null;
}

function unfinished(end: ClaudeEnd): WireError {
  if (end.hopeless !== null) return end.hopeless;
  if (end.exit.code === 0) return wireError('execution.bad_output', 'claude ended without a result');
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
