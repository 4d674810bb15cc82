import { AppError } from '../../errors.ts';
import type { AnthropicRequest } from '../../protocol/anthropic-runner.ts';
import type { ResolvedPrompt } from '../../protocol/prompt.ts';
import type { BuiltInOptions } from '../built-in.ts';
import { withoutDialect } from '../output-schema.ts';
import type { Command } from '../provider.ts';
import { readAnthropicOptions } from './options.ts';

/** An alias, so that it stays the latest of its generation. */
export const DEFAULT_MODEL = 'claude-sonnet-5-5';
/** Every model since claude-opus-4 can answer with as many. */
const DEFAULT_MAX_TOKENS = 32_000;
/** The SDK's own default. */
const DEFAULT_MAX_RETRIES = 2;

/**
 * The runner's command line and its one document on stdin. Pure. The settings' `args` are Node's own and stand
 * before the script: `--use-env-proxy`, `--use-system-ca`.
 *
 * @throws AppError provider.unsupported_option for a `providerOptions` this provider does not know
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
