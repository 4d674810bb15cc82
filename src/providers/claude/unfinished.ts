/** Endings the CLI calls a success although the agent has not done what it was asked. */
import { type ErrorCode, type WireError, wireError } from '../../errors.ts';
import type { ResultLine } from './result-line.ts';

/** What a person would read, by `terminal_reason` (claude 2.1.329). `api_error` and limits are failures of their own. */
const UNFINISHED: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  tool_deferred: ['execution.permission_denied', 'a hook put off a tool call, which has not run'],
  tool_deferred_unavailable: [
    'execution.permission_denied',
    'a tool call that was put off cannot run any more',
  ],
  hook_stopped: ['execution.invalid_request', "a hook of the CLI's user stopped the run"],
  aborted_streaming: ['execution.crashed', 'the answer was interrupted'],
  aborted_tools: ['execution.crashed', 'a tool was interrupted'],
  blocking_limit: ['execution.invalid_request', 'the conversation has reached the limit of the model'],
  prompt_too_long: ['execution.invalid_request', 'the conversation has reached the limit of the model'],
  rapid_refill_breaker: ['execution.invalid_request', 'the conversation has reached the limit of the model'],
  image_error: ['execution.invalid_request', 'an image cannot be used'],
  malformed_tool_use_exhausted: ['execution.bad_output', 'the model called tools that cannot be read'],
  structured_output_retry_exhausted: [
    'execution.bad_output',
    'the model gave no answer of the form asked for',
  ],
  model_error: ['execution.crashed', 'the model failed'],
  turn_setup_failed: ['execution.crashed', 'the turn could not be set up'],
  background_requested: ['execution.crashed', 'the turn was moved to the background'],
  api_error: ['execution.crashed', 'the API failed'],
  max_turns: ['execution.max_turns', 'the execution used its turns'],
  budget_exhausted: ['execution.budget', 'the execution spent its budget'],
};

/**
 * The failure behind a result without an error; null: it is a success. A hook that ends a turn the agent has finished
 * (`stop_hook_prevented`) takes nothing away; a reason we do not know counts only when there is an answer.
 */
export function unfinished(result: ResultLine, hasAnswer: boolean): WireError | null {
  const reason = result.terminal_reason ?? 'completed';
  if (reason === 'completed' || reason === 'stop_hook_prevented') return null;
  const known = Object.hasOwn(UNFINISHED, reason) ? UNFINISHED[reason] : undefined;
  if (known === undefined) {
    return hasAnswer ? null : wireError('execution.bad_output', `claude ended without an answer: ${reason}`);
  }
  const [code, what] = known;
  const tool = result.deferred_tool_use?.name;
  return wireError(
    code,
    `claude ended before it had finished: ${what} (${tool ? `${reason}: ${tool}` : reason})`,
  );
}

/** How the CLI words it, in versions that say it in no other way. */
const BLOCKED = /^(UserPromptSubmit operation blocked by hook|Operation stopped by hook):/;
const MAX_WHY = 500;

/**
 * Why a prompt never reached the model, from what the CLI says about it; null: that is not what this says.
 * The prompt itself, which the CLI repeats, is left out.
 */
export function whyBlocked(said: string, certain: boolean): WireError | null {
  if (!certain && !BLOCKED.test(said)) return null;
  const [why = ''] = said.split('\n\nOriginal prompt:');
  const message = why.replaceAll(/\s+/g, ' ').trim().slice(0, MAX_WHY);
  return wireError('execution.invalid_request', `the prompt was not passed to the model: ${message}`);
}
