/** How a run ended, by the rule: success = a `result` line of subtype success AND not an error AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { Verdict } from '../provider.ts';
import { knownFailure } from './failure.ts';
import type { CursorResult } from './lines.ts';

/** Everything a finished run has left. */
export interface CursorEnd {
  readonly result: CursorResult | null;
  readonly partialText: string;
  readonly nativeSessionId: string | null;
  readonly turns: number;
  readonly usage: Usage | null;
  /** The last lines of stdout that are not JSON: a refusal before the start may stand there. */
  readonly plainOutput: string;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function cursorVerdict(end: CursorEnd): Verdict {
  const error = errorOf(end);
  const answer = end.result?.result ?? '';
  return {
    text: error === null && answer.trim() !== '' ? answer : end.partialText,
    structured: null,
    nativeSessionId: end.nativeSessionId,
    turns: end.turns === 0 ? null : end.turns,
    usage: end.usage,
    permissionDenials: [],
    error,
  };
}

function errorOf(end: CursorEnd): WireError | null {
  const { result, exit } = end;
  if (result !== null && (result.is_error || result.subtype !== 'success')) {
    const said = result.result?.trim() || `cursor-agent ended with ${result.subtype}`;
    return knownFailure(`${said}\n${end.stderrTail}`) ?? wireError('execution.crashed', said);
  }
  if (exit.code === 0 && result !== null) return null;
  const known = exit.signal === null && result === null ? whatItSaid(end) : null;
  if (known !== null) return known;
  return exit.code === 0
    ? wireError('execution.bad_output', 'cursor-agent ended without a result')
    : wireError('execution.crashed', `cursor-agent ${howItEnded(end)}`);
}

/** A folder that is not trusted is refused with exit code 0 (users' reports). */
const whatItSaid = ({ stderrTail, plainOutput }: CursorEnd): WireError | null =>
  knownFailure(stderrTail) ?? knownFailure(plainOutput);

const MAX_STDERR_IN_MESSAGE = 500;

function howItEnded({ exit, stderrTail, plainOutput }: CursorEnd): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = (stderrTail.trim() || plainOutput.trim()).slice(-MAX_STDERR_IN_MESSAGE);
  return said === '' ? how : `${how}: ${said}`;
}
