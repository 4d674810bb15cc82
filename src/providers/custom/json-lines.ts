import type { ExecutionEvent } from '../../protocol/event.ts';
import type { Usage } from '../../protocol/outcome.ts';
import type { CustomPointers } from '../../protocol/provider-settings.ts';
import type { OutputReader } from './output-reader.ts';
import { isCutAt, parseJson, valueAt } from './pointer.ts';

/**
 * Each line is a JSON value of its own; what it holds is where the settings point.
 * @param checkedAt place whose last value is kept for the rule of success
 */
export function createJsonLines(pointers: CustomPointers, checkedAt: string | null): OutputReader {
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
    const seen = updatedUsage(usage, value, pointers);
    if (seen === null) return [];
    usage = seen;
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

/** The usage with what a line tells of it; null when it tells nothing. */
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
    cacheReadTokens: 0,
    cacheWriteTokens: 0,
    costUsd: cost,
    costBasis: cost === null ? 'unknown' : 'reported',
  };
}
