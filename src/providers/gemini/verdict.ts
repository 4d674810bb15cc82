/** How a run ended, by the rule: success = a `result` line AND its status `success` AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { Verdict } from '../provider.ts';
import { apiError, exitError, readApiFailure } from './failure.ts';
import type { ResultLine } from './lines.ts';
import { saidOnStderr } from './stderr.ts';

/** Everything a finished run has left. */
export interface GeminiEnd {
  readonly text: string;
  readonly nativeSessionId: string | null;
  readonly turns: number;
  readonly usage: Usage | null;
  readonly result: ResultLine | null;
  /** The last `error` line. */
  readonly lastError: string | null;
  readonly permissionDenials: Verdict['permissionDenials'];
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function geminiVerdict(end: GeminiEnd): Verdict {
  return {
    text: end.text,
    structured: null,
    nativeSessionId: end.nativeSessionId,
    turns: end.turns === 0 ? null : end.turns,
    usage: end.usage,
    permissionDenials: end.permissionDenials,
    error: errorOf(end),
  };
}

function errorOf(end: GeminiEnd): WireError | null {
  const { result, exit, stderrTail } = end;
  if (result === null) return unfinished(end);
  if (result.status !== 'success') return failed(end, result);
  if (exit.code === 0) return null;
  return wireError('execution.crashed', `gemini answered and then ${howItEnded(exit, stderrTail)}`);
}

function failed({ lastError, exit }: GeminiEnd, result: ResultLine): WireError {
  const message = result.error?.message ?? lastError ?? 'gemini ended with an error it did not name';
  const own = exitError(exit.code, message);
  if (own !== null) return own;
  const failure = readApiFailure(message, exit.code, result.timestamp ?? null);
  // Without a code of failure it is the answer that was unusable: empty, blocked, cut short.
  const otherwise = exit.code === 0 ? 'execution.bad_output' : 'execution.crashed';
  return apiError(failure) ?? wireError(otherwise, failure.text);
}

function unfinished({ exit, stderrTail }: GeminiEnd): WireError {
  // The CLI also ends with 0 when it is terminated.
  if (exit.code === 0) return wireError('execution.bad_output', 'gemini ended without a result');
  const message = `gemini ${howItEnded(exit, stderrTail)}`;
  const said = saidOnStderr(stderrTail);
  return exitError(exit.code, said === '' ? message : said) ?? wireError('execution.crashed', message);
}

function howItEnded(exit: Exit, stderrTail: string): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = saidOnStderr(stderrTail);
  return said === '' ? how : `${how}: ${said}`;
}
