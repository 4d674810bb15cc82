/** Lines by the documentation and by users' recordings. */

import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ExecutionEvent } from '../../../../src/protocol/event.ts';
import { createCursorProvider } from '../../../../src/providers/cursor/provider.ts';
import type { Progress, Verdict } from '../../../../src/providers/provider.ts';
import { builtInOptions } from '../settings.ts';

const SESSION = 'c6b62c6f-7ead-4fd6-9922-e952131177ff';
const ids = { session_id: SESSION };
const message = (text: string) => ({ role: 'assistant', content: [{ type: 'text', text }] });

export const init = {
  type: 'system',
  subtype: 'init',
  apiKeySource: 'env',
  cwd: '/workspace',
  ...ids,
  model: 'Composer 2.5',
  permissionMode: 'default',
};
export const user = {
  type: 'user',
  message: { role: 'user', content: [{ type: 'text', text: 'Hi' }] },
  ...ids,
};
/** A whole message. */
export const said = (text: string) => ({ type: 'assistant', message: message(text), ...ids });
export const thought = (text: string) => ({ type: 'thinking', subtype: 'delta', text, ...ids });
export const toolStarted = (id: string, tool: object) => ({
  type: 'tool_call',
  subtype: 'started',
  call_id: id,
  tool_call: tool,
  ...ids,
});
export const toolCompleted = (id: string, tool: object) => ({
  ...toolStarted(id, tool),
  subtype: 'completed',
});
export const result = (text: string, changed: object = {}) => ({
  type: 'result',
  subtype: 'success',
  duration_ms: 5234,
  duration_api_ms: 5234,
  is_error: false,
  result: text,
  ...ids,
  request_id: '10e11780',
  ...changed,
});

export interface Run {
  readonly events: readonly ExecutionEvent[];
  readonly verdict: Verdict;
  readonly progress: Progress;
  readonly done: boolean;
}

export interface HowItEnded {
  readonly code?: number | null;
  readonly signal?: NodeJS.Signals;
  readonly stderr?: string;
}

/** A run that printed these lines. A string is a line without JSON. */
export function run(lines: readonly (object | string)[], ended: HowItEnded = {}): Run {
  const { code = 0, signal = null, stderr = '' } = ended;
  const translator = createCursorProvider(builtInOptions()).translator(resolvedPrompt());
  const events = lines.flatMap((line) =>
    translator.line(typeof line === 'string' ? line : JSON.stringify(line)),
  );
  const verdict = translator.end({ code, signal }, stderr);
  return { events, verdict, progress: translator.progress, done: translator.done };
}
