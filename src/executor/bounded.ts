/**
 * Makes the output of a CLI fit its schema, the records and the ledger. The lines of a CLI can
 * contain anything: JSON of any depth, numbers of any size, halves of characters. An event with a
 * value that cannot be stored is replaced, and a field of the outcome is left out.
 */

import { messageOf, type WireError, wireError } from '../errors.ts';
import { createChecker } from '../protocol/checker.ts';
import { ANY_MEMBER, type Cut } from '../protocol/cli.ts';
import { ExecutionEvent, NATIVE_SESSION_ID } from '../protocol/event.ts';
import type { TokenCounts, Usage } from '../protocol/outcome.ts';
import type { Progress, Verdict } from '../providers/provider.ts';

/** SQLite reads JSON of at most 1000 levels, and a record has some levels of its own. */
const MAX_DEPTH = 500;
/** Keeps sums of many runs exact. */
const MAX_TOKENS = 1e12;
const MAX_COST_USD = 1e9;
const MAX_TURNS = 1e9;
const MAX_MESSAGE_BYTES = 16 * 1024;
const MAX_DENIALS = 1000;
const MAX_DENIAL_CHARACTERS = 1024 * 1024;
const TOKENS = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens'] as const;

const eventChecker = createChecker(ExecutionEvent);

/**
 * The events of a line.
 * @param raw the line; it replaces an event that cannot be stored
 * @param maxTextBytes limit of one text
 */
export function eventsOf(
  read: () => readonly ExecutionEvent[],
  raw: string,
  maxTextBytes: number,
): readonly ExecutionEvent[] {
  try {
    return read().flatMap((event) => {
      if (event.kind === 'raw') return [{ kind: 'raw', line: raw }];
      const kept = event.kind === 'usage' ? { ...event, usage: boundedUsage(event.usage) } : event;
      const { value } = bounded(kept, maxTextBytes);
      return eventChecker.check(value) ? [value] : refused(`its event ${event.kind}`, raw);
    });
  } catch (error) {
    return refused(messageOf(error), raw);
  }
}

const refused = (what: string, line: string): readonly ExecutionEvent[] => [
  { kind: 'warning', code: 'value_refused', message: `a line holds a value that cannot be kept: ${what}` },
  { kind: 'raw', line },
];

/**
 * The verdict of a run. `refused` names the fields that were left out because they cannot be
 * stored; it is null when there are none.
 * @param end throws only by a fault of the translator
 */
export function verdictOf(end: () => Verdict): {
  readonly verdict: Verdict;
  readonly refused: string | null;
} {
  const whole = endOrFailure(end);
  const structured = bounded(whole.structured);
  const usage = boundedUsage(whole.usage);
  const denials = boundedDenials(whole.permissionDenials);
  const isHalf = structured.isCut && whole.error === null;
  const error = isHalf
    ? wireError('execution.bad_output', 'the structured output cannot be kept')
    : whole.error;
  const keepsSession = whole.nativeSessionId === null || SESSION_ID.test(whole.nativeSessionId);
  const keepsTurns = whole.turns === null || isCount(whole.turns, MAX_TURNS);
  const lost = {
    structured: structured.isCut,
    nativeSessionId: !keepsSession,
    turns: !keepsTurns,
    usage: whole.usage !== null && (usage === null || usage.costUsd !== whole.usage.costUsd),
    permissionDenials: denials.isCut,
  };
  const names = Object.entries(lost).flatMap(([field, isLost]) => (isLost ? [field] : []));
  return {
    refused:
      names.length === 0 ? null : `left out of the outcome, because it cannot be kept: ${names.join(', ')}`,
    verdict: {
      ...whole,
      text: whole.text.toWellFormed(),
      structured: structured.isCut ? null : structured.value,
      nativeSessionId: keepsSession ? whole.nativeSessionId : null,
      turns: keepsTurns ? whole.turns : null,
      usage,
      permissionDenials: denials.value,
      error: error === null ? null : boundedError(error),
    },
  };
}

function endOrFailure(end: () => Verdict): Verdict {
  try {
    return end();
  } catch (error) {
    const failure = wireError('execution.bad_output', `its output cannot be read: ${messageOf(error)}`);
    return { ...EMPTY_VERDICT, error: failure };
  }
}

const SESSION_ID = new RegExp(NATIVE_SESSION_ID, 'u');

const EMPTY_VERDICT: Verdict = {
  text: '',
  structured: null,
  nativeSessionId: null,
  turns: null,
  usage: null,
  permissionDenials: [],
  error: null,
};

/** Tokens by model and of the whole session. Figures that cannot be stored are left out. */
export function tokensOf({ byModel, sessionTokens = null }: Pick<Progress, 'byModel' | 'sessionTokens'>): {
  readonly byModel: Readonly<Record<string, TokenCounts>>;
  readonly sessionTokens: TokenCounts | null;
} {
  const kept: [string, TokenCounts][] = [];
  for (const [model, counted] of Object.entries(byModel)) {
    const tokens = boundedTokens(counted);
    if (tokens !== null) kept.push([model, tokens]);
  }
  const isWhole = kept.length === Object.keys(byModel).length;
  return {
    byModel: isWhole ? Object.fromEntries(kept) : {},
    sessionTokens: sessionTokens && boundedTokens(sessionTokens),
  };
}

/** What a run has used so far. */
export const useOf = (progress: Progress): Pick<Progress, 'usage' | 'byModel'> => ({
  usage: boundedUsage(progress.usage),
  byModel: tokensOf(progress).byModel,
});

function boundedTokens(tokens: TokenCounts): TokenCounts | null {
  const rounded = { ...tokens };
  for (const kind of TOKENS) rounded[kind] = Math.round(tokens[kind]);
  return TOKENS.every((kind) => isCount(rounded[kind], MAX_TOKENS)) ? rounded : null;
}

/** Null when its tokens are no valid counts. An invalid cost becomes null. */
function boundedUsage(usage: Usage | null): Usage | null {
  const tokens = usage && boundedTokens(usage);
  if (usage === null || tokens === null) return null;
  const { costUsd, costBasis } = usage;
  const keepsCost = costUsd === null || (costUsd >= 0 && costUsd <= MAX_COST_USD);
  return { ...tokens, costUsd: keepsCost ? costUsd : null, costBasis: keepsCost ? costBasis : 'unknown' };
}

const isCount = (value: number, max: number): boolean =>
  Number.isInteger(value) && value >= 0 && value <= max;

/** Inputs above the limits become null, and denials above the limit are left out. */
function boundedDenials(denials: Verdict['permissionDenials']): Bounded<Verdict['permissionDenials']> {
  let left = MAX_DENIAL_CHARACTERS;
  let isCut = denials.length > MAX_DENIALS;
  const value = denials.slice(0, MAX_DENIALS).map(({ tool, input }) => {
    const plain = bounded(input);
    left -= JSON.stringify(plain.value).length;
    isCut ||= plain.isCut || left < 0;
    return { tool: bounded(tool, MAX_NAME).value, input: left < 0 ? null : plain.value };
  });
  return { value, isCut };
}

const MAX_NAME = 256;

/** An error that can be stored. */
export function boundedError({ code, message, retryable, resetsAt }: WireError): WireError {
  const at = new Date(resetsAt ?? '');
  return {
    code,
    message: bounded(message, MAX_MESSAGE_BYTES).value,
    retryable,
    resetsAt: Number.isNaN(at.getTime()) ? null : at.toISOString(),
  };
}

interface Bounded<T> {
  readonly value: T;
  /** Something is missing in it. Replaced halves of surrogate pairs do not count. */
  readonly isCut: boolean;
}

/** JSON that can be stored: as deep as SQLite reads, with finite numbers and well-formed texts. */
function bounded<T>(whole: T, maxTextBytes = Number.POSITIVE_INFINITY): Bounded<T> {
  let isCut = false;
  const without = (): null => {
    isCut = true;
    return null;
  };
  const text = (value: string): string => {
    const kept = cutText(value.toWellFormed(), maxTextBytes);
    isCut ||= kept.length < value.length;
    return kept;
  };
  const plain = (value: unknown, depth: number): unknown => {
    if (typeof value === 'string') return text(value);
    if (typeof value === 'number') return Number.isFinite(value) ? value : without();
    if (typeof value !== 'object' || value === null) return value;
    if (depth === MAX_DEPTH) return without();
    if (Array.isArray(value)) return value.map((one) => plain(one, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [text(name), plain(one, depth + 1)]),
    );
  };
  const value = plain(whole, 0) as T; // of the same form
  return { value, isCut };
}

/** A warning of the executor, which may contain names from the CLI's output. */
export const warningOf = (code: string, message: string): ExecutionEvent => ({
  kind: 'warning',
  code,
  message: bounded(message, MAX_MESSAGE_BYTES).value,
});

/** Names what is missing of a line that was too long. */
export function cutWarning(cut: Cut, maxLineBytes: number): ExecutionEvent {
  const missing = [...cut].map((member) => (member === ANY_MEMBER ? 'its end' : member)).slice(0, 5);
  const what = missing.length === 0 ? '' : `, and of ${missing.join(', ')} in the event`;
  const message = `a line was longer than ${maxLineBytes} bytes: its end is missing in the raw line${what}`;
  return { kind: 'warning', code: 'line_truncated', message };
}

/** At most `maxBytes` of UTF-8, never half a character. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text;
  const bytes = Buffer.from(text);
  let end = maxBytes;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.toString('utf8', 0, end);
}
