/** How a run ended, by the rule: success = a `result` line of a complete answer AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { RunnerError, RunnerResult } from '../../protocol/anthropic-runner.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Verdict } from '../provider.ts';
import { apiFailure } from './failure.ts';

/** Everything a finished run has left. */
export interface AnthropicEnd {
  readonly request: ResolvedPrompt;
  readonly result: RunnerResult | null;
  readonly failure: RunnerError | null;
  /** What came before the end. */
  readonly partialText: string;
  readonly usage: Usage | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function anthropicVerdict(end: AnthropicEnd): Verdict {
  const text = end.result?.text ?? end.partialText;
  const structured = end.request.outputSchema === null || end.result === null ? null : parsed(text);
  return {
    text,
    structured,
    nativeSessionId: null,
    turns: end.result === null ? null : 1,
    usage: end.usage,
    permissionDenials: [],
    error: errorOf(end, structured),
  };
}

function errorOf(end: AnthropicEnd, structured: unknown): WireError | null {
  const { result, failure, exit, request } = end;
  if (failure !== null) return apiFailure(failure);
  if (exit.code !== 0) return wireError('execution.crashed', `the runner ${howItEnded(end)}`);
  if (result === null) return wireError('execution.bad_output', 'the runner ended without a result');
  const incomplete = whyIncomplete(result.stop_reason);
  if (incomplete !== null) return incomplete;
  if (request.outputSchema !== null && structured === null) {
    return wireError('execution.bad_output', 'the answer is not the structured output that was asked for');
  }
  return null;
}

/** https://docs.claude.com/en/api/handling-stop-reasons */
function whyIncomplete(stopReason: string | null): WireError | null {
  switch (stopReason) {
    case 'max_tokens':
      return wireError('execution.bad_output', 'the answer was cut off at providerOptions.maxTokens');
    case 'model_context_window_exceeded':
      return wireError('execution.invalid_request', "the answer was cut off at the model's context window");
    case 'refusal':
      return wireError('execution.invalid_request', 'the model refused to answer');
    default:
      return null;
  }
}

const MAX_STDERR_IN_MESSAGE = 500;

function howItEnded({ exit, stderrTail }: AnthropicEnd): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = stderrTail.trim().slice(-MAX_STDERR_IN_MESSAGE);
  return said === '' ? how : `${how}: ${said}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // the verdict says that it is missing
  }
}
