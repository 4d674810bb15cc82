/** The fields of a request, as the schema of the API describes them, and their values as text. */
import { durationText } from './commands.ts';

/** The parts of JSON Schema that the API uses. */
export interface Schema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly $ref?: string;
}

export type Kind =
  | 'choice'
  | 'yes-no'
  | 'number'
  | 'duration'
  | 'time'
  | 'line'
  | 'text'
  | 'lines'
  | 'pairs'
  | 'json';

export interface Field {
  /** As in a problem document: `/retry/maxAttempts`. */
  readonly path: string;
  readonly label: string;
  readonly kind: Kind;
  readonly hint: string;
  readonly schema: Schema;
}

const LABELS: Readonly<Record<string, string>> = {
  cwd: 'Folder',
  sessionId: 'Session',
  maxCostUsd: 'Most cost in USD',
  maxTurns: 'Most turns',
  ttlMs: 'Longest wait in the queue',
  outputSchema: 'Schema of the answer',
  appendSystemPrompt: 'Added to the system prompt',
  onPermissionDenied: 'When a tool is not allowed',
  onQuota: 'At a usage limit',
  runAt: 'Start at',
  delayMs: 'Start in',
};
/** Longer texts get a box of several lines. */
const MAX_LINE = 5000;

/** `idleTimeoutMs` → `Idle timeout`. */
export function labelOf(name: string): string {
  const words = name.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return LABELS[name] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

/** Every field of an object, those of objects in it, too. */
export function fieldsOf(schema: Schema, parent = ''): readonly Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, own]): readonly Field[] => {
    const path = `${parent}/${name}`;
    if (own.properties !== undefined) return fieldsOf(own, path);
    const label =
      parent === '' ? labelOf(name) : `${labelOf(parent.slice(1))}: ${labelOf(name).toLowerCase()}`;
    return [{ path, label, kind: kindOf(name, own), hint: hintOf(name, own), schema: own }];
  });
}

function kindOf(name: string, schema: Schema): Kind {
  if (schema.enum !== undefined) return 'choice';
  if (schema.type === 'boolean') return 'yes-no';
  if (schema.type === 'integer' || schema.type === 'number')
    return name.endsWith('Ms') ? 'duration' : 'number';
  if (schema.type === 'array') return 'lines';
  if (schema.type === 'object') {
    const values = schema.additionalProperties;
    return typeof values === 'object' && values.type === 'string' ? 'pairs' : 'json';
  }
  if (schema.format === 'date-time') return 'time';
  return (schema.maxLength ?? 0) > MAX_LINE ? 'text' : 'line';
}

function hintOf(name: string, schema: Schema): string {
  const kind = kindOf(name, schema);
  const { minimum, maximum, exclusiveMinimum: above, description = '' } = schema;
  const time = kind === 'duration';
  const show = (value: number): string => (time ? durationText(value) : String(value));
  const bounds = [
    ...(above !== undefined ? [`more than ${above}`] : []),
    ...(minimum !== undefined && (minimum > 1 || minimum < 0) ? [`at least ${show(minimum)}`] : []),
    ...(maximum !== undefined ? [`at most ${show(maximum)}`] : []),
  ].join(', ');
  const form = { duration: 'such as 90s, 15m, 2h', lines: 'one per line', pairs: 'KEY=VALUE, one per line' };
  const how = kind in form ? form[kind as keyof typeof form] : kind === 'json' ? 'a JSON object' : ''; // as: it is in it
  return [description, how, bounds].filter((part) => part !== '').join('; ');
}

/** Values as they are typed, by the path of their field. */
export type Texts = Readonly<Record<string, string>>;

export interface Problem {
  readonly path: string;
  readonly message: string;
}

type Values = Readonly<Record<string, unknown>>;

/** What a form begins with. */
export interface Before {
  readonly request: Values;
  readonly texts: Texts;
}

/** A form that begins with a request. */
export function beforeOf(fields: readonly Field[], request: Values): Before {
  const texts = fields
    .map(({ path, kind }) => [path, textOf(kind, valueAt(request, path))] as const)
    .filter(([, text]) => text !== '');
  return { request, texts: Object.fromEntries(texts) };
}

const valueAt = (request: Values, path: string): unknown =>
  path
    .slice(1)
    .split('/')
    .reduce<unknown>((value, name) => (isValues(value) ? value[name] : undefined), request);

const isValues = (value: unknown): value is Values => typeof value === 'object' && value !== null;

/**
 * The request that the texts mean. What is left empty is left out, and what was not edited stays as
 * it was: a text may not say all of it.
 */
export function requestOf(
  fields: readonly Field[],
  texts: Texts,
  before: Before = { request: {}, texts: {} },
): { readonly request: Values; readonly problems: readonly Problem[] } {
  const request: Record<string, unknown> = {};
  const problems: Problem[] = [];
  for (const { path, kind } of fields) {
    const text = texts[path] ?? '';
    const isEdited = text !== (before.texts[path] ?? '');
    if (isEdited && text.trim() === '') continue;
    const value = isEdited ? parsed(kind, text) : valueAt(before.request, path);
    if (value instanceof Error) problems.push({ path, message: value.message });
    else if (value !== undefined) put(request, path.slice(1).split('/'), value);
  }
  return { request, problems };
}

/**
 * What to change of the request before; null: something was emptied that a change cannot leave out.
 */
export function changesOf(fields: readonly Field[], request: Values, before: Before): Values | null {
  const names = new Set(fields.map(({ path }) => path.split('/')[1] ?? ''));
  const changes: Record<string, unknown> = {};
  for (const name of names) {
    const [now, old] = [request[name], before.request[name]];
    if (JSON.stringify(now) === JSON.stringify(old)) continue;
    if (now === undefined && !(Array.isArray(old) || name === 'metadata')) return null;
    changes[name] = now ?? (Array.isArray(old) ? [] : {});
  }
  return changes;
}

function put(into: Record<string, unknown>, [name = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    into[name] = value;
    return;
  }
  const inner = into[name];
  const next: Record<string, unknown> = typeof inner === 'object' && inner !== null ? { ...inner } : {};
  put(next, rest, value);
  into[name] = next;
}

const linesIn = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

function parsed(kind: Kind, text: string): unknown {
  if (kind === 'yes-no') return text === 'true';
  if (kind === 'number') return Number.isFinite(Number(text)) ? Number(text) : new Error('must be a number');
  if (kind === 'duration') return durationIn(text) ?? new Error('must be a time such as 90s, 15m, 2h or 1d');
  if (kind === 'time') {
    const at = new Date(text);
    return Number.isNaN(at.getTime()) ? new Error('must be a date and a time') : at.toISOString();
  }
  if (kind === 'lines') return linesIn(text);
  if (kind === 'pairs') {
    const lines = linesIn(text);
    if (lines.some((line) => line.indexOf('=') < 1)) return new Error('must be KEY=VALUE, one per line');
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }
  if (kind === 'json') {
    try {
      return JSON.parse(text);
    } catch (error) {
      return new Error(`is not JSON: ${error instanceof Error ? error.message : ''}`);
    }
  }
  return kind === 'line' || kind === 'choice' ? text.trim() : text;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Null: it is no time. A number alone is in milliseconds. */
export function durationIn(text: string): number | null {
  const [, amount, unit = 'ms'] = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)?\s*$/.exec(text) ?? [];
  return amount === undefined ? null : Math.round(Number(amount) * (UNIT_MS[unit] ?? 1));
}

/** A value as text, for a form that begins with it. */
export function textOf(kind: Kind, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (kind === 'lines' && Array.isArray(value)) return value.join('\n');
  if (kind === 'duration' && typeof value === 'number') return durationText(value);
  if (kind === 'time' && typeof value === 'string') return localTime(value);
  if (kind === 'pairs' && typeof value === 'object')
    return Object.entries(value)
      .map(([key, one]) => `${key}=${String(one)}`)
      .join('\n');
  return typeof value === 'object' ? JSON.stringify(value, null, 2) : String(value);
}

/** A time as a field for times has it. */
function localTime(text: string): string {
  const at = new Date(text);
  const local = at.getTime() - at.getTimezoneOffset() * 60_000;
  return Number.isNaN(local) ? '' : new Date(local).toISOString().slice(0, -1);
}

/** The prompts in a text: lines of three dashes are between them. */
export const promptsIn = (text: string): readonly string[] =>
  text
    .split(/^[ \t]*---[ \t]*$/m)
    .map((part) => part.replace(/^\n|\n$/g, ''))
    .filter((part) => part.trim() !== '');

/** The field that a problem is about: `/allowedTools/0` is about `/allowedTools`. */
export const problemAt = (problems: readonly Problem[], path: string): string | null =>
  problems.find((one) => one.path === path || one.path.startsWith(`${path}/`))?.message ?? null;
