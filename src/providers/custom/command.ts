import { AppError } from '../../errors.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { CustomSettings } from '../../protocol/provider-settings.ts';
import { MODEL_PATTERN } from '../../protocol/schema.ts';
import type { Command, CommandContext } from '../provider.ts';

/**
 * Values for arguments. The prompt is not one of them: every user of the machine can read
 * arguments.
 */
const PLACEHOLDERS = ['model', 'effort', 'cwd', 'sessionId', 'promptFile'] as const;
type Placeholder = (typeof PLACEHOLDERS)[number];
type Values = Readonly<Record<Placeholder, string | null>>;

const PROMPT_FILE = 'prompt.txt';
const PLACEHOLDER = /\{\{\s*(\w+)\s*\}\}/g;
const SAFE_VALUE = new RegExp(`^${MODEL_PATTERN}$`);

const isPlaceholder = (name: string): name is Placeholder => PLACEHOLDERS.some((known) => known === name);
const namesIn = (arg: string): string[] => [...arg.matchAll(PLACEHOLDER)].map(([, name = '']) => name);

/** Whether a value from outside may be in an argument: it cannot be read as a flag. */
export const isSafeValue = (value: string): boolean => SAFE_VALUE.test(value);

/** The placeholders in some arguments, each once. */
export function placeholdersOf(args: readonly string[]): {
  readonly known: readonly Placeholder[];
  readonly unknown: readonly string[];
} {
  const names = [...new Set(args.flatMap(namesIn))];
  return { known: names.filter(isPlaceholder), unknown: names.filter((name) => !isPlaceholder(name)) };
}

/**
 * The command line for a request. Pure. For {{promptFile}} the prompt is in a file of the scratch
 * folder.
 * @throws AppError execution.invalid_request when the session id could be read as a flag
 */
export function customCommand(
  request: ResolvedPrompt,
  { nativeSessionId, scratchDir }: CommandContext,
  { args, stdin }: Pick<CustomSettings, 'args' | 'stdin'>,
): Command {
  // The command itself has printed this id, so it is not trusted.
  if (nativeSessionId !== null && !isSafeValue(nativeSessionId)) {
    throw new AppError(
      'execution.invalid_request',
      'the session to resume has an id that cannot be passed on',
    );
  }
  const wantsFile = placeholdersOf(args).known.includes('promptFile');
  const filled = fillArguments(args, {
    model: request.model,
    effort: request.effort,
    cwd: request.cwd,
    sessionId: nativeSessionId,
    promptFile: `${scratchDir}/${PROMPT_FILE}`,
  });
  return {
    args: filled,
    stdin: stdin ? request.prompt : '',
    env: {},
    ...(wantsFile ? { files: { [PROMPT_FILE]: request.prompt } } : {}),
  };
}

/** Fills in the placeholders. An argument with a value that the job does not have is left out. */
const fillArguments = (args: readonly string[], values: Values): readonly string[] =>
  args
    .filter((arg) => namesIn(arg).every((name) => isPlaceholder(name) && values[name] !== null))
    .map((arg) =>
      arg.replaceAll(PLACEHOLDER, (_, name: string) => (isPlaceholder(name) ? (values[name] ?? '') : '')),
    );
