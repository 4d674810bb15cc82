/** Usage added up over executions, and the prices of models. */
import { type Static, Type } from '#typebox';
import { closed, nullable } from './schema.ts';

/**
 * The keys by which executions can be added up. `hour` and `day` are in UTC; `total` is one row.
 */
export const UsageDimension = Type.Enum([
  ...(['hour', 'day', 'provider', 'model', 'project', 'caller', 'tag', 'total'] as const),
]);
export type UsageDimension = Static<typeof UsageDimension>;

const count = (description: string) => Type.Integer({ description });
const milliseconds = (description: string) =>
  nullable(Type.Number({ description: `${description}; null: no CLI ran` }));
const usd = (description: string) => Type.Number({ description });

/** Executions with the same key, added up. */
export const UsageRow = Type.Object({
  key: nullable(Type.String(), {
    description:
      'the hour (2026-11-30T12), day, provider, model, project, caller or tag, or `total`; null: none is known',
  }),
  executions: count('a retried job has several'),
  succeeded: count('of them'),
  cancelled: count('of them'),
  successRate: nullable(
    Type.Number({ description: 'succeeded / (executions - cancelled), 0 to 1; null: all were cancelled' }),
  ),
  durationP50Ms: milliseconds('half of the executions ran at most so long'),
  durationP95Ms: milliseconds('19 of 20 executions ran at most so long'),
  inputTokens: count('without cached tokens'),
  outputTokens: count('thinking included'),
  cacheReadTokens: count('read from the cache'),
  cacheWriteTokens: count('written to the cache'),
  costUsd: usd('all that is known: reportedUsd + estimatedUsd'),
  reportedUsd: usd("the CLIs' own figures"),
  estimatedUsd: usd('tokens by the price table'),
  unknownCosts: count('executions without a known cost; the sums leave them out'),
});
export type UsageRow = Static<typeof UsageRow>;

const priceOf = (what: string) => Type.Number({ minimum: 0, description: `USD for a million ${what}.` });

/** The price of a model. Cached tokens without a price cost as much as input tokens. */
export const Price = Type.Object(
  {
    input: priceOf('input tokens'),
    output: priceOf('output tokens, including thinking'),
    cacheRead: Type.Optional(priceOf('tokens read from the cache. By default, the same as input')),
    cacheWrite: Type.Optional(priceOf('tokens written to the cache. By default, the same as input')),
  },
  closed,
);
export type Price = Static<typeof Price>;

/** Prices by model. They win over the prices that Bullpen knows. */
export const Prices = Type.Record(Type.String(), Price, {
  default: {},
  propertyNames: Type.String({ minLength: 1, maxLength: 128 }),
});
export type Prices = Static<typeof Prices>;
