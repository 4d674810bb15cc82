import type { PromptOverrides, PromptRequest } from '../protocol/prompt.ts';
import { usageError } from './command-error.ts';

/** A prompt with the line of the list it stands on. */
export interface ListedPrompt {
  readonly line: number;
  readonly request: PromptRequest;
}

/**
 * The prompts of a list: one for each line that is not blank. A line that begins with `{` is a request in JSON,
 * any other is the prompt's text. What a line says itself wins over `common`.
 * @throws CommandError for a line that is not JSON although it begins so
 */
export function readPromptList(text: string, common: PromptOverrides): readonly ListedPrompt[] {
  return text.split(/\r?\n/).flatMap((content, index): ListedPrompt[] => {
    const line = index + 1;
    if (content.trim() === '') return [];
    if (!content.trimStart().startsWith('{')) return [{ line, request: { ...common, prompt: content } }];
    try {
      return [{ line, request: { ...common, ...JSON.parse(content) } }]; // the server checks what it holds
    } catch {
      throw usageError(
        `line ${line} begins like JSON and is none; a prompt that begins with a brace goes as {"prompt": …}`,
      );
    }
  });
}

/** Parts that one call takes: so many prompts, so many bytes of JSON. A prompt that is larger goes alone. */
export function* inCalls(
  prompts: readonly ListedPrompt[],
  maxPrompts: number,
  maxBytes: number,
): Generator<readonly ListedPrompt[]> {
  let part: ListedPrompt[] = [];
  let bytes = 0;
  for (const prompt of prompts) {
    const size = Buffer.byteLength(JSON.stringify(prompt.request)) + 1;
    if (part.length > 0 && (part.length >= maxPrompts || bytes + size > maxBytes)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(prompt);
    bytes += size;
  }
  if (part.length > 0) yield part;
}
