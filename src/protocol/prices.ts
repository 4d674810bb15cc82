import { type Static, Type } from 'typebox';
import { closed } from './schema.ts';

const usd = (what: string) => Type.Number({ minimum: 0, description: `USD for a million ${what}` });

/** What a model costs. Cached tokens without a price of their own cost what input costs. */
export const Price = Type.Object(
  {
    input: usd('input tokens'),
    output: usd('output tokens, thinking included'),
    cacheRead: Type.Optional(usd('tokens read from the cache; default: as input')),
    cacheWrite: Type.Optional(usd('tokens written to the cache; default: as input')),
  },
  closed,
);
export type Price = Static<typeof Price>;

/** Prices by model, over the ones Bullpen knows. */
export const Prices = Type.Record(Type.String(), Price, {
  default: {},
  propertyNames: Type.String({ minLength: 1, maxLength: 128 }),
});
export type Prices = Static<typeof Prices>;
