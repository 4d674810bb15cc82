/** Recorded runs of the real CLIs, folded by their providers. */
import { readFileSync } from 'node:fs';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { ExecutionEvent } from '../../../src/protocol/event.ts';
import type { TokenCounts } from '../../../src/protocol/outcome.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { Provider, Translator, Verdict } from '../../../src/providers/provider.ts';

export interface Replay {
  readonly translator: Translator;
  readonly events: readonly ExecutionEvent[];
  readonly kinds: readonly string[];
  readonly verdict: Verdict;
}

/** The lines of tests/fixtures/providers/<folder>/<name>. */
export const recordedLines = (folder: string, name: string): readonly string[] =>
  readFileSync(new URL(`../../fixtures/providers/${folder}/${name}/stdout.jsonl`, import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean);

/**
 * The events and the end of tests/fixtures/providers/<of>/<name>. @param of left out: the
 * provider's name
 */
export function replay(
  provider: Provider,
  name: string,
  request: Partial<ResolvedPrompt> = {},
  sessionTokens: TokenCounts | null = null,
  of = provider.name,
): Replay {
  const folder = new URL(`../../fixtures/providers/${of}/${name}/`, import.meta.url);
  const lines = recordedLines(of, name);
  const exit = JSON.parse(readFileSync(new URL('exit.json', folder), 'utf8'));
  const translator = provider.translator(resolvedPrompt({ provider: provider.name, ...request }), {
    sessionTokens,
  });
  const events = lines.flatMap((line) => translator.line(line));
  const verdict = translator.end({ code: exit.code, signal: exit.signal }, exit.stderrTail);
  return { translator, events, kinds: events.map(({ kind }) => kind), verdict };
}
