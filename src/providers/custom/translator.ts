import { type WireError, wireError } from '../../errors.ts';
import type { Exit } from '../../protocol/cli.ts';
import type { CustomOutput, CustomSuccess } from '../../protocol/provider-settings.ts';
import { howItEnded } from '../endings.ts';
import type { Translator } from '../provider.ts';
import { createOutputReader, type OutputEnd } from './output.ts';

/** Reads a custom command's output. Only the exit of the command ends the run. */
export function createCustomTranslator(
  name: string,
  model: string | null,
  { output, success }: { readonly output: CustomOutput; readonly success: CustomSuccess },
): Translator {
  const reader = createOutputReader(output, success);
  return {
    line: (line, cut = null) => reader.line(line, cut),
    done: false,
    hopeless: null,
    get progress() {
      const { usage } = reader;
      return { turns: 0, usage, byModel: usage === null || model === null ? {} : { [model]: usage } };
    },
    end(exit, stderrTail) {
      const end = reader.end();
      return {
        text: end.text ?? end.partial,
        textIsCut: end.textIsCut,
        structured: null,
        nativeSessionId: reader.nativeSessionId,
        turns: null,
        usage: reader.usage,
        permissionDenials: [],
        error: failureOf(name, success, end, exit, stderrTail),
      };
    },
  };
}

/** Why a run did not succeed, by the rule of the settings; null: it did. */
function failureOf(
  name: string,
  rule: CustomSuccess,
  { text, failure, checked }: OutputEnd,
  exit: Exit,
  stderrTail: string,
): WireError | null {
  if (failure !== null) return wireError('execution.crashed', failure);
  if (exit.code === null || !rule.exitCodes.includes(exit.code)) {
    return wireError('execution.crashed', `${name} ${howItEnded(exit, stderrTail)}`);
  }
  const bad = (why: string): WireError => wireError('execution.bad_output', `${name} ended ${why}`);
  if (text === null) return bad('without an answer in its output');
  if (rule.json !== null && checked !== rule.json.equals) {
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
