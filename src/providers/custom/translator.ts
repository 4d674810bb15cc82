import { type WireError, wireError } from '../../errors.ts';
import type { Exit, Translator } from '../provider.ts';
import type { CustomOutput } from './settings.ts';
import { createOutputReader } from './text-output.ts';

const MAX_STDERR_IN_MESSAGE = 500;

/** The fold over a custom command's output. Only its exit ends it: success = exit code 0 and readable output. */
export function createCustomTranslator(name: string, output: CustomOutput): Translator {
  const reader = createOutputReader(output);

  function failure(exit: Exit, stderrTail: string, text: string | null): WireError | null {
    if (exit.code !== 0) {
      const how = exit.signal === null ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
      const said = stderrTail.trim().slice(-MAX_STDERR_IN_MESSAGE);
      return wireError('execution.crashed', said === '' ? `${name} ${how}` : `${name} ${how}: ${said}`);
    }
    return text === null
      ? wireError('execution.bad_output', `${name} ended without the text its settings say where to find`)
      : null;
  }

  return {
    line: (line) => reader.line(line),
    done: false,
    hopeless: null,
    progress: { turns: 0, usage: null, byModel: {} },
    end(exit, stderrTail) {
      const text = reader.text();
      return {
        text: text ?? reader.partial(),
        structured: null,
        nativeSessionId: reader.nativeSessionId,
        turns: null,
        usage: null,
        permissionDenials: [],
        error: failure(exit, stderrTail, text),
      };
    },
  };
}
