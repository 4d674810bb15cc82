/**
 * Reads a command's stdout as the settings describe it: plain text, one JSON document, or JSON
 * lines.
 */
import { type Cut, isCut } from '../../protocol/cli.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { CustomOutput, CustomPointers, CustomSuccess } from '../../protocol/provider-settings.ts';
import { jsonText, parseJson } from '../json.ts';

/** The result of the output so far. */
export interface OutputEnd {
  /** The answer; null when the output should hold one but does not. */
  readonly text: string | null;
  /** The text so far, for a run that failed. */
  readonly partial: string;
  /** Whether part of the text is missing because its line was too long. */
  readonly textIsCut: boolean;
  /** The value at the place of the success rule; undefined when there is none. */
  readonly checked: unknown;
  /** The error that the command reported. */
  readonly failure: string | null;
}

/** One way to read stdout. */
export interface OutputReader {
  line(line: string, cut: Cut | null): readonly ExecutionEvent[];
  end(): OutputEnd;
  readonly nativeSessionId: string | null;
  readonly usage: Usage | null;
}

/** The reader for the kind of output in the settings. */
export function createOutputReader(output: CustomOutput, rule: CustomSuccess): OutputReader {
  const checkedAt = rule.json?.pointer ?? null;
  if (output === 'text') return plainText();
  return 'json' in output ? oneDocument(output.json, checkedAt) : jsonLines(output.ndjson, checkedAt);
}

/** Every line is a piece of the answer. */
function plainText(): OutputReader {
  const lines: string[] = [];
  let textIsCut = false;
  return {
    line(line, cut) {
      lines.push(line);
      textIsCut ||= cut !== null && cut.size > 0;
      return [{ kind: 'text.delta', text: `${line}\n` }];
    },
    end() {
      const text = lines.join('\n');
      return { text, partial: text, textIsCut, checked: undefined, failure: null };
    },
    nativeSessionId: null,
    usage: null,
  };
}

/** The answer is in one JSON document, which may span many lines. */
function oneDocument(pointer: string, checkedAt: string | null): OutputReader {
  const lines: string[] = [];
  let textIsCut = false;
  return {
    line(line, cut) {
      lines.push(line);
      textIsCut ||= isCutAt(cut, pointer);
      return [{ kind: 'raw', line }];
    },
    end() {
      const document = parseJson(lines.join('\n'));
      const text = asText(valueAt(document, pointer));
      const checked = checkedAt === null ? undefined : valueAt(document, checkedAt);
      return { text, partial: text ?? '', textIsCut, checked, failure: null };
    },
    nativeSessionId: null,
    usage: null,
  };
}

/** A string unchanged, any other value as JSON; null for no value. */
const asText = (value: unknown): string | null => (typeof value === 'string' ? value : jsonText(value));

/**
 * Each line is a JSON value of its own. The settings say where it holds which value.
 * @param checkedAt the success rule looks at the last value at this place
 */
function jsonLines(pointers: CustomPointers, checkedAt: string | null): OutputReader {
  const pieces: string[] = [];
  let nativeSessionId: string | null = null;
  let usage: Usage | null = null;
  let failure: string | null = null;
  let checked: unknown;
  let textIsCut = false;
  let tools = 0;

  const textAt = (value: unknown, pointer: string | undefined): string | null => {
    const found = pointer === undefined ? undefined : valueAt(value, pointer);
    return typeof found === 'string' && found !== '' ? found : null;
  };

  function toolEvents(value: unknown): readonly ExecutionEvent[] {
    const name = textAt(value, pointers.toolName);
    if (name === null) return [];
    tools += 1;
    const input = pointers.toolInput === undefined ? null : (valueAt(value, pointers.toolInput) ?? null);
    return [{ kind: 'tool.started', toolId: textAt(value, pointers.toolId) ?? `tool-${tools}`, name, input }];
  }

  function sessionEvents(value: unknown): readonly ExecutionEvent[] {
    const session = textAt(value, pointers.session);
    if (session === null || session === nativeSessionId) return [];
    nativeSessionId = session;
    return [{ kind: 'session', sessionId: null, nativeSessionId, model: null }];
  }

  function usageEvents(value: unknown): readonly ExecutionEvent[] {
    const updated = updatedUsage(usage, value, pointers);
    if (updated === null) return [];
    usage = updated;
    return [{ kind: 'usage', usage }];
  }

  return {
    line(line, cut) {
      const value = parseJson(line);
      const found = checkedAt === null ? undefined : valueAt(value, checkedAt);
      if (found !== undefined) checked = found;
      const events = [...sessionEvents(value), ...toolEvents(value), ...usageEvents(value)];
      const error = textAt(value, pointers.error);
      if (error !== null) {
        failure = error;
        events.push({ kind: 'warning', code: 'error', message: error });
      }
      const piece = valueAt(value, pointers.text);
      if (typeof piece === 'string') {
        textIsCut ||= isCutAt(cut, pointers.text);
        pieces.push(piece);
        events.push({ kind: 'text.delta', text: piece });
      }
      return events.length === 0 ? [{ kind: 'raw', line }] : events;
    },
    end: () => ({
      text: pieces.length === 0 ? null : pieces.join(''),
      partial: pieces.join(''),
      textIsCut,
      checked,
      failure,
    }),
    get nativeSessionId() {
      return nativeSessionId;
    },
    get usage() {
      return usage;
    },
  };
}

/** The usage after a line; null when the line has none. */
function updatedUsage(before: Usage | null, value: unknown, pointers: CustomPointers): Usage | null {
  const at = (pointer: string | undefined): number | null => {
    const found = pointer === undefined ? undefined : valueAt(value, pointer);
    return typeof found === 'number' && found >= 0 ? found : null;
  };
  const inputTokens = at(pointers.inputTokens);
  const outputTokens = at(pointers.outputTokens);
  const costUsd = at(pointers.costUsd);
  if (inputTokens === null && outputTokens === null && costUsd === null) return null;
  const cost = costUsd ?? before?.costUsd ?? null;
  return {
    inputTokens: Math.round(inputTokens ?? before?.inputTokens ?? 0),
    outputTokens: Math.round(outputTokens ?? before?.outputTokens ?? 0),
    cacheReadTokens: Math.round(at(pointers.cacheReadTokens) ?? before?.cacheReadTokens ?? 0),
    cacheWriteTokens: Math.round(at(pointers.cacheWriteTokens) ?? before?.cacheWriteTokens ?? 0),
    costUsd: cost,
    costBasis: cost === null ? 'unknown' : 'reported',
  };
}

const tokensOf = (pointer: string): readonly string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));

/** The value at a JSON pointer (RFC 6901), by own properties only; undefined when there is none. */
function valueAt(document: unknown, pointer: string): unknown {
  return tokensOf(pointer).reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    return Object.entries(value).find(([name]) => name === key)?.[1];
  }, document);
}

/**
 * Whether a value may be incomplete. In a document of many lines, a cut names members on any
 * level.
 */
const isCutAt = (cut: Cut | null, pointer: string): boolean =>
  cut !== null && cut.size > 0 && (pointer === '' || tokensOf(pointer).some((token) => isCut(cut, token)));
