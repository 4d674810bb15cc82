import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import { createCursorProvider } from '../../../../src/providers/cursor/provider.ts';
import { builtInOptions } from '../settings.ts';
import { init, result, run, said, thought, toolCompleted, toolStarted, user } from './cursor-lines.ts';

const READ = { readToolCall: { args: { path: 'README.md' } } };
const kinds = (lines: readonly object[]): string =>
  run(lines)
    .events.map(({ kind }) => kind)
    .join(' ');
const texts = (lines: readonly object[]): string[] =>
  run(lines).events.flatMap((event) => (event.kind === 'text' ? [event.text] : []));

describe('the stream of cursor-agent', () => {
  it('begins with the session', () => {
    expect(run([init]).events).toEqual([
      { kind: 'session', sessionId: null, nativeSessionId: init.session_id, model: null },
    ]);
    expect(run([init]).verdict.nativeSessionId).toBe(init.session_id);
  });

  it('has one text per message, and the answer is not repeated', () => {
    const lines = [init, said('One.'), said('Two.'), said('Two.'), result('One.Two.Two.')];
    expect(texts(lines)).toEqual(['One.', 'Two.', 'Two.']);
    expect(kinds(lines)).toBe('session text text text');
    expect(run(lines).verdict.text).toBe('One.Two.Two.');
  });

  it('keeps the messages of a killed run', () => {
    const { verdict } = run([init, said('First.'), said('Sec')], { code: null, signal: 'SIGKILL' });
    expect(verdict).toMatchObject({ text: 'First.\n\nSec', error: { code: 'execution.crashed' } });
  });

  it('has its prompt, thoughts, tools and unknown lines as raw lines', () => {
    const lines = [init, user, thought('Hm.'), toolStarted('t1', READ), toolCompleted('t1', READ)];
    expect(kinds([...lines, { type: 'interaction_query' }])).toBe('session raw raw raw raw raw');
  });

  it('succeeds although a field of its last line has an unknown form', () => {
    const odd = { type: 'result', subtype: 'success', is_error: false, result: 'Yes.' };
    const { verdict } = run([init, said('Yes.'), { ...odd, usage: { inputTokens: '5' } }]);
    expect(verdict).toMatchObject({ text: 'Yes.', usage: null, error: null });
    expect(run([init, said('Yes.'), { ...odd, result: {} }]).verdict).toMatchObject({
      text: 'Yes.',
      error: null,
    });
  });

  it('has the usage of the result, cached tokens included', () => {
    const usage = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 100 };
    const { events, verdict } = run([init, said('Yes.'), result('Yes.', { usage })]);
    const tokens = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 100, cacheWriteTokens: 0 };
    expect(verdict.usage).toEqual({ ...tokens, costUsd: null, costBasis: 'unknown' });
    expect(events.at(-1)).toEqual({ kind: 'usage', usage: verdict.usage });
    expect(run([init, result('Yes.')]).verdict.usage).toBeNull();
  });

  it('is done with the result', () => {
    expect(run([init, said('Yes.')]).done).toBe(false);
    expect(run([init, said('Yes.'), result('Yes.')]).done).toBe(true);
  });
});

it('cursor-agent is busy while a tool runs', () => {
  const translator = createCursorProvider(builtInOptions()).translator(resolvedPrompt());
  const busyAfter = (line: object): boolean | undefined => {
    translator.line(JSON.stringify(line));
    return translator.busy;
  };
  expect([
    busyAfter(init),
    busyAfter(toolStarted('t1', READ)),
    busyAfter(toolStarted('t2', READ)),
    busyAfter(toolCompleted('t1', READ)),
    busyAfter(toolCompleted('t2', READ)),
  ]).toEqual([false, true, true, true, false]);
});
