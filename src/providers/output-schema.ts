/** Checks the JSON Schema of a job's answer before anything runs, as far as a fault is certain. */

/** `$schema` values of the known dialects. */
const DIALECT = /^https?:\/\/json-schema\.org\/(draft-0[467]|draft\/2019-09|draft\/2020-12)\/schema#?$/;
const LATEST = /^https?:\/\/json-schema\.org\/schema#?$/;

const MAX_DEPTH = 200;
const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'];
const MAPS = ['properties', 'patternProperties', 'definitions', '$defs', 'dependentSchemas', 'dependencies'];
const LISTS = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
const SCHEMAS = [
  ...[
    'items',
    'additionalItems',
    'unevaluatedItems',
    'contains',
    'additionalProperties',
    'unevaluatedProperties',
  ],
  ...['propertyNames', 'not', 'if', 'then', 'else'],
];

type Schema = Readonly<Record<string, unknown>>;

const isNumber = (value: unknown): boolean => typeof value === 'number';
const isText = (value: unknown): boolean => typeof value === 'string';
const isSet = (value: unknown): value is readonly unknown[] =>
  Array.isArray(value) && new Set(value.map((one) => JSON.stringify(one))).size === value.length;

/** The form of the values of keywords, in every dialect. */
const FORMS: readonly (readonly [
  what: string,
  is: (value: unknown) => boolean,
  keywords: readonly string[],
])[] = [
  ['a number', isNumber, ['minimum', 'maximum']],
  ['above 0', (value) => typeof value === 'number' && value > 0, ['multipleOf']],
  [
    'a whole number from 0',
    (value) => Number.isInteger(value) && Number(value) >= 0,
    ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'],
  ],
  ['a text', isText, ['$id', '$comment', 'title', 'description', 'format', 'contentMediaType']],
  ['true or false', (value) => typeof value === 'boolean', ['uniqueItems', 'readOnly', 'writeOnly']],
  ['a list of names, each once', (value) => isSet(value) && value.every(isText), ['required']],
  ['a list of values, each once', (value) => isSet(value) && isFilled(value), ['enum']],
];

/** The schema without `$schema`: some CLIs and vendors refuse every dialect but their own. */
export function withoutDialect({ $schema: _, ...schema }: Schema): Schema {
  return schema;
}

/**
 * Why no CLI takes this schema; null: no fault is known.
 * @param keywords the only ones that the CLI knows; null: it ignores unknown ones
 */
export function schemaProblem(schema: Schema, keywords: ReadonlySet<string> | null = null): string | null {
  const { $schema, type } = schema;
  if (
    $schema !== undefined &&
    !(typeof $schema === 'string' && (DIALECT.test($schema) || LATEST.test($schema)))
  )
    return '$schema names an unknown dialect; known are draft-04, 06, 07, 2019-09 and 2020-12';
  if (type !== undefined && type !== 'object') return 'the type of an answer must be "object"';
  if (isDeep(schema)) return `it has more than ${MAX_DEPTH} levels`;
  const text = keywords === null ? '' : JSON.stringify(schema);
  const walk = (part: unknown, at: string): string | null => {
    if (typeof part === 'boolean') return null;
    if (!isObject(part)) return `${at} is not a schema`;
    // The CLIs do not read a definition without a reference to it.
    const isRead = !/^#\/(definitions|\$defs)\//.test(at) || text.includes(`"${at}"`);
    const own = ownProblem(schema, part, at, isRead ? keywords : null);
    if (own !== null) return own;
    for (const [place, inner] of partsOf(part, at)) {
      const problem = walk(inner, place);
      if (problem !== null) return problem;
    }
    return null;
  };
  return walk(schema, '#');
}

function isDeep(value: unknown): boolean {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
  return false;
}

/** The schemas inside a schema, each with its place. */
const partsOf = (schema: Schema, at: string): readonly (readonly [string, unknown])[] =>
  Object.entries(schema).flatMap(([name, value]) => {
    const holdsMany =
      MAPS.includes(name) || LISTS.includes(name) || (name === 'items' && Array.isArray(value));
    if (!holdsMany) return SCHEMAS.includes(name) ? [[`${at}/${name}`, value] as const] : [];
    return Object.entries(Object(value))
      .filter(([, one]) => name !== 'dependencies' || !Array.isArray(one))
      .map(([key, one]) => [`${at}/${name}/${key}`, one] as const);
  });

/** A fault in a schema's own keywords. */
function ownProblem(
  root: Schema,
  schema: Schema,
  at: string,
  keywords: ReadonlySet<string> | null,
): string | null {
  const unknown = keywords && Object.keys(schema).find((name) => !keywords.has(name));
  if (unknown) return `${at} has the keyword ${JSON.stringify(unknown)}, which the CLI does not know`;
  const { type, pattern, patternProperties, $ref } = schema;
  const types = [type].flat();
  if (
    type !== undefined &&
    !(isFilled(types) && types.every((one) => isText(one) && TYPES.includes(String(one))))
  )
    return `${at}/type is none of ${TYPES.join(', ')}`;
  for (const [what, is, names] of FORMS) {
    const wrong = names.find((name) => schema[name] !== undefined && !is(schema[name]));
    if (wrong !== undefined) return `${at}/${wrong} must be ${what}`;
  }
  const noMap = MAPS.find((name) => schema[name] !== undefined && !isObject(schema[name]));
  if (noMap !== undefined) return `${at}/${noMap} must be an object`;
  const noList = LISTS.find((name) => schema[name] !== undefined && !isFilled(schema[name]));
  if (noList !== undefined) return `${at}/${noList} must be a list of schemas`;
  const noLimit = ['exclusiveMinimum', 'exclusiveMaximum'].find((name) => typeof schema[name] === 'boolean');
  if (noLimit !== undefined && keywords !== null) return `${at}/${noLimit} must be a number`;
  if (keywords !== null && schema['nullable'] !== undefined && type === undefined)
    return `${at}/nullable needs a type beside it`;
  if (pattern !== undefined && !isPattern(pattern)) return `${at}/pattern is not a regular expression`;
  if (!Object.keys(Object(patternProperties)).every(isPattern))
    return `${at}/patternProperties has a name that is not a regular expression`;
  if ($ref !== undefined && !hasTarget(root, $ref, keywords !== null)) return `${at}/$ref has no target`;
  return null;
}

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

function isPattern(value: unknown): boolean {
  try {
    return typeof value === 'string' && new RegExp(value, 'u') !== null;
  } catch {
    return false;
  }
}

/**
 * Certain are only a pointer into the schema, and a URL that no `$id` can match.
 * @param byIdOnly only an `$id` names a schema, as in draft-07
 */
function hasTarget(root: Schema, ref: unknown, byIdOnly: boolean): boolean {
  if (typeof ref !== 'string') return false;
  if (!ref.startsWith('#/')) {
    const ids = idsIn(root);
    if (ref.startsWith('#')) return ref === '#' || !byIdOnly || ids.some((id) => id.endsWith(ref));
    return ids.length > 0 || !(byIdOnly || /^https?:/.test(ref));
  }
  if (root['$id'] !== undefined) return true;
  const found = ref
    .slice(2)
    .split('/')
    .reduce<unknown>((value, token) => {
      const key = decoded(token).replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
      return Object.entries(value).find(([name]) => name === key)?.[1];
    }, root);
  return isObject(found) || typeof found === 'boolean';
}

const idsIn = (value: unknown): readonly string[] =>
  typeof value !== 'object' || value === null
    ? []
    : Object.entries(value).flatMap(([name, one]) =>
        name === '$id' && typeof one === 'string' ? [one] : idsIn(one),
      );

function decoded(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch {
    return token; // a bare percent sign
  }
}
