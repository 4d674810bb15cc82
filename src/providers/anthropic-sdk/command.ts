import { type Static, Type } from '#typebox';
import { AppError } from '../../errors.ts';
import type { AnthropicRequest } from '../../protocol/anthropic-runner.ts';
import { createChecker } from '../../protocol/checker.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import { closed } from '../../protocol/schema.ts';
import type { BuiltInOptions, Unsupported } from '../built-in.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command } from '../provider.ts';

/** An alias of the vendor: always the latest model of its generation. */
const DEFAULT_MODEL = 'claude-sonnet-5-5';
/** Every model since claude-opus-4 can answer with as many. */
const DEFAULT_MAX_TOKENS = 32_000;
/** The SDK's own default. */
const DEFAULT_MAX_RETRIES = 2;

/**
 * The runner's command line and the JSON document for its stdin. Pure. The settings' `args` are
 * arguments of Node, before the script: `--use-env-proxy`, `--use-system-ca`.
 *
 * @throws AppError provider.unsupported_option for unknown `providerOptions`
 */
export function anthropicCommand(
  request: ResolvedPrompt,
  { args, maxRetries, sdkRunner }: Pick<BuiltInOptions, 'args' | 'maxRetries' | 'sdkRunner'>,
): Command {
  const read = readAnthropicOptions(request.providerOptions);
  if ('problems' in read) {
    const [problem] = read.problems;
    throw new AppError('provider.unsupported_option', `${problem?.option}: ${problem?.reason}`);
  }
  const document: AnthropicRequest = {
    prompt: request.prompt,
    system: request.appendSystemPrompt,
    model: request.model ?? DEFAULT_MODEL,
    maxTokens: read.options.maxTokens ?? DEFAULT_MAX_TOKENS,
    maxRetries: maxRetries ?? DEFAULT_MAX_RETRIES,
    outputSchema: request.outputSchema && withoutDialect(request.outputSchema),
  };
  return { args: [...args, sdkRunner.script], stdin: JSON.stringify(document), env: {} };
}

/** `providerOptions` of a job for anthropic-sdk. */
const AnthropicOptions = Type.Object(
  {
    maxTokens: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: 'tokens the answer may have; one that is longer fails. Default: 32000',
      }),
    ),
  },
  closed,
);
type AnthropicOptions = Static<typeof AnthropicOptions>;

const checker = createChecker(AnthropicOptions);

/** The options, or the problems with them. */
export function readAnthropicOptions(
  value: Readonly<Record<string, unknown>>,
): { readonly options: AnthropicOptions } | { readonly problems: readonly Unsupported[] } {
  const options: unknown = value;
  if (checker.check(options)) return { options };
  const reason = 'anthropic-sdk has only maxTokens, a number from 1 to 1000000';
  return { problems: Object.keys(value).map((name) => ({ option: `providerOptions.${name}`, reason })) };
}
