import { type Static, type TSchema, Type } from 'typebox';
import { nullable } from '../../protocol/schema.ts';

/** A field the CLI may leave out or set to null. */
export const maybe = <T extends TSchema>(schema: T) => Type.Optional(nullable(schema));

const Tokens = Type.Number({ minimum: 0 });

/** Token counts of one API call or one turn. */
export const ApiUsage = Type.Object({
  input_tokens: maybe(Tokens),
  output_tokens: maybe(Tokens),
  cache_read_input_tokens: maybe(Tokens),
  cache_creation_input_tokens: maybe(Tokens),
});
export type ApiUsage = Static<typeof ApiUsage>;

/** What one model cost since the last `result` line of the process. */
export const ModelUsage = Type.Object({
  inputTokens: Tokens,
  outputTokens: Tokens,
  cacheReadInputTokens: Tokens,
  cacheCreationInputTokens: Tokens,
  costUSD: maybe(Type.Number()),
});
export type ModelUsage = Static<typeof ModelUsage>;
