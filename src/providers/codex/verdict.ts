/** How a run ended, by the rule: success = `turn.completed` AND no `turn.failed` AND exit code 0. */
import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { Verdict } from '../provider.ts';
import { knownFailure } from './failure.ts';

/** Everything a finished run has left. */
export interface CodexEnd {
  readonly request: ResolvedPrompt;
  readonly text: string;
  readonly threadId: string | null;
  readonly turns: number;
  readonly usage: Usage | null;
  readonly completed: boolean;
  /** What `turn.failed` said. */
  readonly failure: string | null;
  readonly hopeless: WireError | null;
  readonly exit: Exit;
  readonly stderrTail: string;
}

/** Total: has an answer for every ending, also of a killed run. */
export function codexVerdict(end: CodexEnd): Verdict {
  const structured = end.request.outputSchema === null ? null : parsed(end.text);
  return {
    text: end.text,
    structured,
    nativeSessionId: end.threadId,
    turns: end.turns === 0 ? null : end.turns,
    usage: end.usage,
    permissionDenials: [],
    error: errorOf(end, structured),
  };
}

function errorOf(end: CodexEnd, structured: unknown): WireError | null {
  if (end.failure !== null) {
    return knownFailure(end.failure) ?? end.hopeless ?? wireError('execution.crashed', end.failure);
  }
  if (end.hopeless !== null) return end.hopeless;
  if (end.exit.code !== 0) return failedExit(end);
  if (!end.completed) return wireError('execution.bad_output', 'codex ended without completing its turn');
  if (end.request.outputSchema !== null && structured === null) {
    return wireError('execution.bad_output', 'codex ended without the structured output that was asked for');
  }
  return null;
}

const MAX_STDERR_IN_MESSAGE = 500;
/** Of clap, the parser of its command line. */
const USAGE_ERROR = 2;

function failedExit({ exit, stderrTail, completed }: CodexEnd): WireError {
  const said = stderrTail.trim().slice(-MAX_STDERR_IN_MESSAGE);
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const message = said === '' ? `codex ${how}` : `codex ${how}: ${said}`;
  if (completed) return wireError('execution.crashed', message);
  if (exit.code === USAGE_ERROR) return wireError('execution.invalid_request', message);
  const known = exit.signal === null ? knownFailure(stderrTail) : null;
  return known === null ? wireError('execution.crashed', message) : { ...known, message };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // the verdict says that it is missing
  }
}
