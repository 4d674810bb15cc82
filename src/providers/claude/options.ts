import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { closed, MODEL_PATTERN } from '../../protocol/schema.ts';

/** What a job may put into `providerOptions` for claude. */
export const ClaudeOptions = Type.Object(
  {
    fallbackModel: Type.Optional(
      Type.String({
        pattern: `^${MODEL_PATTERN}(,${MODEL_PATTERN}){0,4}$`,
        description: 'models to use when the main one is overloaded, comma-separated, in order',
      }),
    ),
  },
  closed,
);
export type ClaudeOptions = Static<typeof ClaudeOptions>;

const checker = Compile(ClaudeOptions);

/** The options, or what is wrong with them. */
export function readClaudeOptions(
  value: Readonly<Record<string, unknown>>,
):
  | { readonly options: ClaudeOptions }
  | { readonly problems: readonly { option: string; reason: string }[] } {
  const options: unknown = value;
  if (checker.Check(options)) return { options };
  const known = Object.keys(ClaudeOptions.properties);
  const problems = Object.keys(value)
    .filter((name) => !known.includes(name))
    .map((name) => ({ option: `providerOptions.${name}`, reason: `claude knows only ${known.join(', ')}` }));
  if (problems.length > 0) return { problems };
  return {
    problems: [...checker.Errors(options)].map((error) => ({
      option: `providerOptions${error.instancePath.replaceAll('/', '.')}`,
      reason: error.message,
    })),
  };
}
