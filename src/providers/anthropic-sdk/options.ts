import { type Static, Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { closed } from '../../protocol/schema.ts';

/** What a job may put into `providerOptions` for anthropic-sdk. */
export const AnthropicOptions = Type.Object(
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
export type AnthropicOptions = Static<typeof AnthropicOptions>;

const checker = Compile(AnthropicOptions);

/** The options, or what is wrong with them. */
export function readAnthropicOptions(
  value: Readonly<Record<string, unknown>>,
):
  | { readonly options: AnthropicOptions }
  | { readonly problems: readonly { readonly option: string; readonly reason: string }[] } {
  const options: unknown = value;
  if (checker.Check(options)) return { options };
  const reason = 'anthropic-sdk knows only maxTokens, a number from 1 to 1000000';
  return { problems: Object.keys(value).map((name) => ({ option: `providerOptions.${name}`, reason })) };
}
