import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { PROVIDER_HOST, providerSettings } from './settings.ts';

const providers = createProviders(providerSettings(), PROVIDER_HOST);
const NAMES = ['claude', 'codex', 'anthropic-sdk'];

type Schema = Readonly<Record<string, unknown>>;
const object = (changed: Schema): Schema => ({ type: 'object', ...changed });

/** Why a provider refuses the schema; null: it does not. */
const refusal = (name: string, outputSchema: Schema): string | null =>
  providers
    .get(name)
    .provider.unsupported(resolvedPrompt({ provider: name, outputSchema }))
    .find(({ option }) => option === 'outputSchema')?.reason ?? null;

const DIALECTS = [
  ...['04', '06', '07'].flatMap((draft) => [
    `http://json-schema.org/draft-${draft}/schema#`,
    `https://json-schema.org/draft-${draft}/schema`,
  ]),
  ...['2019-09', '2020-12'].flatMap((draft) => [
    `https://json-schema.org/draft/${draft}/schema`,
    `http://json-schema.org/draft/${draft}/schema#`,
  ]),
];

describe('the schema of an answer', () => {
  it.each(NAMES)('may name a common dialect, which is not passed to %s', (name) => {
    const schema = object({ properties: { $schema: { type: 'string' }, a: { type: 'integer' } } });
    const commandOf = (outputSchema: Schema) =>
      providers.get(name).provider.command(resolvedPrompt({ provider: name, outputSchema }), {
        nativeSessionId: null,
        trustedWorkspace: true,
        scratchDir: '/scratch',
        promptId: '',
      });
    for (const $schema of DIALECTS) {
      expect(refusal(name, { $schema, ...schema }), $schema).toBeNull();
      expect(commandOf({ $schema, ...schema })).toEqual(commandOf(schema));
    }
    for (const $schema of ['https://json-schema.org/draft/2099-01/schema', 'http://example.com/own', 7, null])
      expect(refusal(name, { $schema, ...schema })).toMatch(/^\$schema names an unknown dialect/);
  });

  it.each(NAMES)(
    'is refused by %s before anything runs when it is certain that it cannot be taken',
    (name) => {
      let deep: Schema = {};
      for (let level = 0; level < 20_000; level += 1) deep = { not: deep };
      const cases: readonly [Schema, string][] = [
        [{ type: 'array' }, 'the type of an answer must be "object"'],
        [object({ properties: { a: { type: 'strin' } } }), '#/properties/a/type is none of object, '],
        [object({ properties: { a: { $ref: '#/definitions/x' } } }), '#/properties/a/$ref has no target'],
        [object({ items: [{ $ref: 'https://example.com/x.json' }] }), '#/items/0/$ref has no target'],
        [object({ properties: [] }), '#/properties must be an object'],
        [object({ properties: { a: 'string' } }), '#/properties/a is not a schema'],
        [object({ required: 'a' }), '#/required must be a list of names'],
        [object({ anyOf: [] }), '#/anyOf must be a list of schemas'],
        [object({ propertyNames: { pattern: '(' } }), '#/propertyNames/pattern is not a regular expression'],
        [object({ $defs: { a: { enum: 1 } } }), '#/$defs/a/enum must be a list'],
        [object({ properties: { a: { minimum: '3' } } }), '#/properties/a/minimum must be a number'],
        [object({ not: { minLength: -1 } }), '#/not/minLength must be a whole number from 0'],
        [object({ not: { enum: [] } }), '#/not/enum must be a list of values'],
        [object({ not: { type: [] } }), '#/not/type is none of'],
        [object({ required: ['a', 'a'] }), '#/required must be a list of names, each once'],
        [object({ not: { format: 5 } }), '#/not/format must be a text'],
        [
          object({ patternProperties: { '[': true } }),
          '#/patternProperties has a name that is not a regular',
        ],
        [deep, 'it has more than 200 levels'],
        [object({ default: deep }), 'it has more than 200 levels'],
      ];
      for (const [schema, reason] of cases) expect(refusal(name, schema)).toContain(reason);
    },
  );

  it('is refused where claude would pass over it, ask the model and give no structured answer', () => {
    const cases: readonly [Schema, string | null][] = [
      [{ properties: { a: { nullable: true } } }, '#/properties/a/nullable needs a type'],
      [{ properties: { a: { $ref: '#word' } } }, '#/properties/a/$ref has no target'],
      [{ $defs: { a: { $anchor: 'x' } }, not: { $ref: '#x' } }, '#/not/$ref has no target'],
      [{ not: { $ref: 'definitions.json#/a' } }, '#/not/$ref has no target'],
      [{ dependencies: { a: ['b'], b: { type: 'strin' } } }, '#/dependencies/b/type is none of'],
      [{ $defs: { a: { $id: '#x' } }, not: { $ref: '#x' } }, null],
      [{ $defs: { a: { $id: 'https://example.com/a' } }, not: { $ref: 'https://example.com/a' } }, null],
    ];
    for (const [schema, reason] of cases) {
      const found = refusal('claude', object(schema));
      if (reason === null) expect(found).toBeNull();
      else expect(found).toContain(reason);
    }
  });

  it.each(NAMES)('is left to %s in everything else', (name) => {
    const schemas = [
      {},
      object({ properties: { a: { type: ['string', 'null'], format: 'date', default: { type: 'x' } } } }),
      object({ $defs: { 'a/b': true }, properties: { a: { $ref: '#/$defs/a~1b' }, b: { $ref: '#' } } }),
      object({ definitions: { a: { type: 'null' } }, additionalProperties: { $ref: '#/definitions/a' } }),
      object({ $id: 'https://example.com/x', items: { $ref: 'https://example.com/x' } }),
      object({ properties: { required: { enum: [1] }, type: { const: 1 }, ['__proto__']: {} } }),
      object({ examples: [{ type: 'x' }], not: false, title: 'x' }),
    ];
    for (const schema of schemas) expect(refusal(name, schema)).toBeNull();
  });

  it('is refused for claude where it has a keyword that claude refuses', () => {
    for (const keyword of ['prefixItems', 'dependentRequired', 'x-order']) {
      const schema = object({ properties: { a: { [keyword]: [{}] } } });
      expect(refusal('claude', schema)).toBe(
        `#/properties/a has the keyword "${keyword}", which the CLI does not know`,
      );
      expect(refusal('codex', schema)).toBeNull();
      const unread = object({ $defs: { a: { [keyword]: [{}] } } });
      expect(refusal('claude', unread)).toBeNull();
      expect(refusal('claude', { ...unread, not: { $ref: '#/$defs/a' } })).toContain(keyword);
    }
    expect(refusal('claude', object({ properties: { a: { exclusiveMinimum: true } } }))).toContain(
      'a number',
    );
  });
});
