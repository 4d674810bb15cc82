/** The smallest sensible instance of a JSON schema: enough for a model that knows nothing. */
export function sampleOf(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null) return null;
  const {
    const: constant,
    enum: choices,
    default: preset,
    type,
    properties,
    items,
    required,
  } = schema as Schema; // checked below
  if (constant !== undefined) return constant;
  if (Array.isArray(choices)) return choices[0];
  if (preset !== undefined) return preset;
  switch (Array.isArray(type) ? type[0] : type) {
    case 'string':
      return 'offline';
    case 'number':
    case 'integer':
      return (schema as Schema).minimum ?? 0;
    case 'boolean':
      return true;
    case 'array':
      return ((schema as Schema).minItems ?? 0) > 0 ? [sampleOf(items)] : [];
    case 'null':
      return null;
    default: {
      const names = required ?? Object.keys(properties ?? {});
      return Object.fromEntries(names.map((name) => [name, sampleOf(properties?.[name])]));
    }
  }
}

interface Schema {
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly items?: unknown;
  readonly required?: readonly string[];
  readonly minimum?: number;
  readonly minItems?: number;
}
