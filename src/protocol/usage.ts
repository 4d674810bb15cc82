import { type Static, Type } from 'typebox';
import { nullable } from './schema.ts';

/** What executions are added up by. `day` is in UTC. */
export const UsageDimension = Type.Enum(['day', 'provider', 'model', 'caller', 'tag']);
export type UsageDimension = Static<typeof UsageDimension>;

const count = (description: string) => Type.Integer({ description });
const usd = (description: string) => Type.Number({ description });

/** Executions with the same key, added up. */
export const UsageRow = Type.Object({
  key: nullable(Type.String(), {
    description: 'the day, provider, model, caller or tag; null: none is known',
  }),
  executions: count('a retried job has several'),
  succeeded: count('of them'),
  inputTokens: count('without cached tokens'),
  outputTokens: count('thinking included'),
  cacheReadTokens: count('read from the cache'),
  cacheWriteTokens: count('written to the cache'),
  costUsd: usd('all that is known: reportedUsd + estimatedUsd'),
  reportedUsd: usd("the CLIs' own figures"),
  estimatedUsd: usd('tokens by the price table'),
  unknownCosts: count('executions whose cost nobody knows; the sums are without them'),
});
export type UsageRow = Static<typeof UsageRow>;
