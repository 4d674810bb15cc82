/** Recorded runs of the real CLIs, folded by their providers. */
import { readFileSync } from 'node:fs';
import type { ExecutionEvent } from '../../../src/protocol/event.ts';
import type { TokenCounts } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Provider, Translator, Verdict } from '../../../src/providers/provider.ts';
import { resolvedPrompt } from './resolved-prompt.ts';

export interface Replay {
  readonly translator: Translator;
  readonly events: readonly ExecutionEvent[];
  readonly kinds: readonly string[];
  readonly verdict: Verdict;
}

/** The events and the end of tests/fixtures/providers/<provider>/<name>. */
export function replay(
  provider: Provider,
  name: string,
  request: Partial<ResolvedPrompt> = {},
  sessionTokens: TokenCounts | null = null,
): Replay {
  const folder = new URL(`../../fixtures/providers/${provider.name}/${name}/`, import.meta.url);
  const lines = readFileSync(new URL('stdout.jsonl', folder), 'utf8').split('\n').filter(Boolean);
  const exit = JSON.parse(readFileSync(new URL('exit.json', folder), 'utf8'));
  const translator = provider.translator(resolvedPrompt({ provider: provider.name, ...request }), {
    sessionTokens,
  });
  const events = lines.flatMap((line) => translator.line(line));
  const verdict = translator.end({ code: exit.code, signal: exit.signal }, exit.stderrTail);
  return { translator, events, kinds: events.map(({ kind }) => kind), verdict };
}
