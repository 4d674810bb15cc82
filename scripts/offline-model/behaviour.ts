import { readJsonAt } from './json-at.ts';

/**
 * One step of what the model does. `say`, `think` and `call` join the step after them; the others
 * are a turn of their own.
 */
export type Step =
  | { readonly kind: 'reply'; readonly text: string }
  | { readonly kind: 'say'; readonly text: string }
  | { readonly kind: 'think'; readonly text: string }
  | ({ readonly kind: 'used' } & PlanUse)
  | {
      /** `call`: the message has more calls. */
      readonly kind: 'tool' | 'call';
      readonly name: string;
      readonly input: Readonly<Record<string, unknown>>;
    }
  | ErrorStep
  | { readonly kind: 'hang'; readonly before: boolean }
  | { readonly kind: 'slow'; readonly tokens: number; readonly intervalMs: number }
  | { readonly kind: 'long'; readonly bytes: number };

/** How much of a plan's limit is used. Each answer to the prompt reports it. */
export interface PlanUse {
  readonly percent: number;
  readonly resetsInSeconds: number;
}

/**
 * Refuses a request. Without `times` it refuses every request; `key` counts over conversations
 * instead of within one.
 */
export interface ErrorStep {
  readonly kind: 'error';
  readonly status: number;
  readonly retryAfterSeconds: number | null;
  readonly times: number | null;
  readonly key: string | null;
  /** The plan's limit that is reached, as the vendor names it; null: it is no plan's limit. */
  readonly limit: string | null;
  /** When that limit ends. */
  readonly resetsInSeconds: number;
}

/** A directive that cannot be read; the server answers it with 400 and this message. */
export class DirectiveError extends Error {
  override readonly name = 'DirectiveError';
}

const OPENING = /\[\[(reply|say|think|used|tool|call|error|hang|slow|long)\s*(?::\s*|(?=\]\]))/g;

/**
 * Reads the directives in a text, in their order. Text without directives is an empty script.
 *
 * `[[reply: text]]` `[[say: text]]` `[[think: text]]` `[[tool: Name {"json":1}]]` `[[call: Name
 * {"json":1}]]` `[[error: 429 retry-after=1 times=2 key=a]]` `[[error: 429 limit=five_hour
 * resets-in=5]]` `[[used: 91% resets-in=5]]` `[[hang]]` `[[hang: before]]` `[[slow: 20 tokens
 * 50ms]]` `[[long: 100000]]`
 *
 * @throws DirectiveError when a directive has a known name and cannot be read.
 */
export function parseBehaviour(text: string): readonly Step[] {
  return readScript(text).steps;
}

/** Like {@link parseBehaviour}, with what is left of the text once the directives are gone. */
export function readScript(text: string): { steps: readonly Step[]; rest: string } {
  const steps: Step[] = [];
  let rest = '';
  let from = 0;
  OPENING.lastIndex = 0;
  for (let match = OPENING.exec(text); match !== null; match = OPENING.exec(text)) {
    const name = match[1] ?? '';
    const { step, end } =
      name === 'tool' || name === 'call'
        ? readTool(name, text, OPENING.lastIndex)
        : readPlain(name, text, OPENING.lastIndex);
    steps.push(step);
    rest += text.slice(from, match.index);
    from = end;
    OPENING.lastIndex = end;
  }
  return { steps, rest: (rest + text.slice(from)).trim() };
}

function readTool(kind: 'tool' | 'call', text: string, start: number): { step: Step; end: number } {
  const name = /^[A-Za-z0-9_.-]+/.exec(text.slice(start, start + 200))?.[0];
  if (name === undefined) throw new DirectiveError(`${kind}: a name must follow`);
  const json = readJsonAt(text, start + name.length);
  const close = json === null ? null : /^\s*\]\]/.exec(text.slice(json.end));
  if (json === null || close === null) {
    throw new DirectiveError(`${kind} ${name}: one JSON object and "]]" must follow`);
  }
  return { step: { kind, name, input: json.value }, end: json.end + close[0].length };
}

function readPlain(name: string, text: string, start: number): { step: Step; end: number } {
  const close = text.indexOf(']]', start);
  if (close === -1) throw new DirectiveError(`${name}: "]]" is missing`);
  return { step: plainStep(name, text.slice(start, close).trim()), end: close + 2 };
}

function plainStep(name: string, rest: string): Step {
  switch (name) {
    case 'reply':
    case 'say':
    case 'think':
      return { kind: name, text: rest };
    case 'used': {
      const [, percent, seconds] = /^(\d+)% resets-in=(\d+)$/.exec(rest) ?? [];
      if (percent === undefined) throw new DirectiveError('used: write "91% resets-in=5"');
      return { kind: 'used', percent: Number(percent), resetsInSeconds: Number(seconds) };
    }
    case 'error':
      return errorStep(rest);
    case 'hang':
      if (rest !== '' && rest !== 'before') throw new DirectiveError('hang: only "before" may follow');
      return { kind: 'hang', before: rest === 'before' };
    case 'slow': {
      const [, tokens, interval] = /^(\d+) tokens? (\d+) ?ms$/.exec(rest) ?? [];
      if (tokens === undefined) throw new DirectiveError('slow: write "20 tokens 50ms"');
      return { kind: 'slow', tokens: Number(tokens), intervalMs: Number(interval) };
    }
    case 'long':
      if (!/^\d+$/.test(rest)) throw new DirectiveError('long: write a number of bytes');
      return { kind: 'long', bytes: Number(rest) };
    default:
      throw new DirectiveError(`${name}: unknown`);
  }
}

function errorStep(rest: string): ErrorStep {
  const [status = '', ...options] = rest.split(/\s+/);
  if (!/^[45]\d\d$/.test(status)) throw new DirectiveError('error: a status from 400 to 599 must follow');
  const read = new Map(options.map((option) => option.split('=', 2) as [string, string | undefined])); // split at most in two
  const number = (name: string): number | null => {
    const value = read.get(name);
    if (!read.has(name)) return null;
    if (value === undefined || !/^\d+$/.test(value))
      throw new DirectiveError(`error: ${name}= takes a number`);
    return Number(value);
  };
  for (const name of read.keys()) {
    if (!['retry-after', 'times', 'key', 'limit', 'resets-in'].includes(name))
      throw new DirectiveError(`error: ${name} is unknown`);
  }
  return {
    kind: 'error',
    status: Number(status),
    retryAfterSeconds: number('retry-after'),
    times: number('times'),
    key: read.get('key') ?? null,
    limit: read.get('limit') ?? null,
    resetsInSeconds: number('resets-in') ?? 3600,
  };
}
