import type { Cut } from '../../protocol/cli.ts';
import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { CustomOutput, CustomSuccess } from '../../protocol/provider-settings.ts';
import { jsonText } from '../json-text.ts';
import { createJsonLines } from './json-lines.ts';
import { isCutAt, parseJson, valueAt } from './pointer.ts';

/** What the output amounts to, so far. */
export interface OutputEnd {
  /** The answer; null when the output holds none although it should. */
  readonly text: string | null;
  /** What came so far, for a run that failed. */
  readonly partial: string;
  /** A part of the text is missing: its line was too long. */
  readonly textIsCut: boolean;
  /** What stands where the rule of success looks; undefined when nothing does. */
  readonly checked: unknown;
  /** What the command called an error. */
  readonly failure: string | null;
}

/** One way to read a command's stdout. */
export interface OutputReader {
  line(line: string, cut: Cut | null): readonly ExecutionEvent[];
  end(): OutputEnd;
  readonly nativeSessionId: string | null;
  readonly usage: Usage | null;
}

/** The reader for a way of output the settings name. */
export function createOutputReader(output: CustomOutput, rule: CustomSuccess): OutputReader {
  const checkedAt = rule.json?.pointer ?? null;
  if (output === 'text') return plainText();
  return 'json' in output ? oneDocument(output.json, checkedAt) : createJsonLines(output.ndjson, checkedAt);
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

/** The answer is in one JSON document, which may take many lines. */
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

/** A string as it is, anything else as JSON; null for nothing. */
const asText = (value: unknown): string | null => (typeof value === 'string' ? value : jsonText(value));
