import type { ExecutionEvent } from '../../protocol/event.ts';
import { parseJson, valueAt } from './pointer.ts';
import type { CustomOutput } from './settings.ts';

/** One way to read a command's stdout. */
export interface OutputReader {
  line(line: string): readonly ExecutionEvent[];
  /** The answer; null when the output holds none although it should. */
  text(): string | null;
  /** What came so far, for a run that failed. */
  partial(): string;
  readonly nativeSessionId: string | null;
}

/** The reader for a way of output the settings name. */
export function createOutputReader(output: CustomOutput): OutputReader {
  if (output === 'text') return plainText();
  return 'json' in output ? oneDocument(output.json) : jsonLines(output.ndjson);
}

/** Every line is a piece of the answer. */
function plainText(): OutputReader {
  const lines: string[] = [];
  return {
    line(line) {
      lines.push(line);
      return [{ kind: 'text.delta', text: `${line}\n` }];
    },
    text: () => lines.join('\n'),
    partial: () => lines.join('\n'),
    nativeSessionId: null,
  };
}

/** The answer is in one JSON document, which may take many lines. */
function oneDocument(pointer: string): OutputReader {
  const lines: string[] = [];
  const text = (): string | null => asText(valueAt(parseJson(lines.join('\n')), pointer));
  return {
    line(line) {
      lines.push(line);
      return [{ kind: 'raw', line }];
    },
    text,
    partial: () => text() ?? '',
    nativeSessionId: null,
  };
}

/** Each line is a JSON value of its own, and some hold a piece of the answer. */
function jsonLines(pointers: { readonly text: string; readonly session?: string }): OutputReader {
  const pieces: string[] = [];
  let nativeSessionId: string | null = null;
  return {
    line(line) {
      const value = parseJson(line);
      const events: ExecutionEvent[] = [];
      const session = pointers.session === undefined ? undefined : valueAt(value, pointers.session);
      if (typeof session === 'string' && session !== nativeSessionId) {
        nativeSessionId = session;
        events.push({ kind: 'session', sessionId: null, nativeSessionId, model: null });
      }
      const piece = valueAt(value, pointers.text);
      if (typeof piece === 'string') {
        pieces.push(piece);
        events.push({ kind: 'text.delta', text: piece });
      }
      return events.length === 0 ? [{ kind: 'raw', line }] : events;
    },
    text: () => (pieces.length === 0 ? null : pieces.join('')),
    partial: () => pieces.join(''),
    get nativeSessionId() {
      return nativeSessionId;
    },
  };
}

/** A string as it is, anything else as JSON; null for nothing. */
const asText = (value: unknown): string | null =>
  typeof value === 'string' ? value : value === undefined ? null : JSON.stringify(value);
