import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { CustomSuccess } from '../../protocol/provider-settings.ts';

/** Everything a finished command has left. */
export interface CustomEnd {
  /** The answer; null when the output holds none although it should. */
  readonly text: string | null;
  /** What the command itself called an error. */
  readonly failure: string | null;
  /** What stands where `success.json` looks; undefined when nothing does. */
  readonly checked: unknown;
  readonly exit: Exit;
  readonly stderrTail: string;
}

const MAX_STDERR_IN_MESSAGE = 500;

/** Why a run did not succeed, by the settings' rule; null: it did. */
export function customFailure(name: string, rule: CustomSuccess, end: CustomEnd): WireError | null {
  const { exit, text, failure } = end;
  if (failure !== null) return wireError('execution.crashed', failure);
  if (exit.code === null || !rule.exitCodes.includes(exit.code)) {
    return wireError('execution.crashed', `${name} ${howItEnded(end)}`);
  }
  const bad = (why: string): WireError => wireError('execution.bad_output', `${name} ended ${why}`);
  if (text === null) return bad('without the text its settings say where to find');
  if (rule.json !== null && end.checked !== rule.json.equals) {
    return bad(`without ${JSON.stringify(rule.json.equals)} at ${rule.json.pointer}`);
  }
  if (rule.pattern !== null && !new RegExp(rule.pattern).test(text)) {
    return bad('with a text that does not match success.pattern');
  }
  if (rule.failurePattern !== null && new RegExp(rule.failurePattern).test(text)) {
    return bad('with a text that matches success.failurePattern');
  }
  return null;
}

function howItEnded({ exit, stderrTail }: CustomEnd): string {
  const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const said = stderrTail.trim().slice(-MAX_STDERR_IN_MESSAGE);
  return said === '' ? how : `${how}: ${said}`;
}
