import type { CustomOutput, CustomSuccess } from '../../protocol/provider-settings.ts';
import type { Translator } from '../provider.ts';
import { createOutputReader } from './output-reader.ts';
import { customFailure } from './verdict.ts';

/** The fold over a custom command's output. Only its exit ends it. */
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
      const { text, partial, textIsCut, checked, failure } = reader.end();
      return {
        text: text ?? partial,
        textIsCut,
        structured: null,
        nativeSessionId: reader.nativeSessionId,
        turns: null,
        usage: reader.usage,
        permissionDenials: [],
        error: customFailure(name, success, { text, failure, checked, exit, stderrTail }),
      };
    },
  };
}
