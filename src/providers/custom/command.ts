import type { ResolvedPrompt } from '../../protocol/prompt.ts';

/** Fields whose values are checked against a narrow pattern and cannot be read as a flag. Never the prompt. */
const PLACEHOLDERS = ['model', 'effort'] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];

const PLACEHOLDER = /\{\{\s*(\w+)\s*\}\}/g;
const isPlaceholder = (name: string): name is Placeholder => PLACEHOLDERS.some((known) => known === name);

const namesIn = (arg: string): string[] => [...arg.matchAll(PLACEHOLDER)].map(([, name = '']) => name);

/** The placeholders some arguments hold, each once. Unknown ones are in `unknown`. */
export function placeholdersOf(args: readonly string[]): {
  readonly known: readonly Placeholder[];
  readonly unknown: readonly string[];
} {
  const names = [...new Set(args.flatMap(namesIn))];
  return { known: names.filter(isPlaceholder), unknown: names.filter((name) => !isPlaceholder(name)) };
}

/** The arguments with their placeholders filled in. One whose value is not asked for is left out as a whole. */
export function fillArguments(args: readonly string[], request: ResolvedPrompt): readonly string[] {
  return args
    .filter((arg) => namesIn(arg).every((name) => isPlaceholder(name) && request[name] !== null))
    .map((arg) =>
      arg.replaceAll(PLACEHOLDER, (_, name: string) => (isPlaceholder(name) ? (request[name] ?? '') : '')),
    );
}
