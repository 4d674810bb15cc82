import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { ExecutionEvent } from '../../../src/protocol/event.ts';
import type { Progress, Verdict } from '../../../src/providers/provider.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { PROVIDER_HOST, providerSettings } from './settings.ts';

interface Ran {
  readonly events: readonly ExecutionEvent[];
  readonly verdict: Verdict;
  readonly progress: Progress;
}

/** What a command set up like this makes of its output. */
function run(settings: Record<string, unknown>, lines: readonly string[], code = 0): Ran {
  const file = providerSettings({ custom: { own: { binary: 'own', ...settings } } });
  const { provider } = createProviders(file, PROVIDER_HOST).get('own');
  const translator = provider.translator(resolvedPrompt());
  const events = lines.flatMap((line) => translator.line(line));
  return {
    events,
    verdict: translator.end({ code, signal: null }, 'it broke'),
    progress: translator.progress,
  };
}

const codeOf = (...args: Parameters<typeof run>): string | null => run(...args).verdict.error?.code ?? null;

describe('the success of a custom command', () => {
  it.each([
    [0, 'execution.crashed'],
    [2, null],
    [3, null],
  ])('with the exit codes 2 and 3 is at %i: %s', (exit, error) => {
    expect(codeOf({ success: { exitCodes: [2, 3] } }, ['text'], exit)).toBe(error);
  });

  it('is never that of a killed one', () => {
    const { provider } = createProviders(
      providerSettings({ custom: { own: { binary: 'own' } } }),
      PROVIDER_HOST,
    ).get('own');
    const verdict = provider.translator(resolvedPrompt()).end({ code: null, signal: 'SIGTERM' }, '');
    expect(verdict.error?.code).toBe('execution.crashed');
  });

  it.each([
    [{ pattern: '^DONE' }, 'DONE: all', null],
    [{ pattern: '^DONE' }, 'all DONE', 'execution.bad_output'],
    [{ failurePattern: 'I cannot' }, 'Here it is', null],
    [{ failurePattern: 'I cannot' }, 'Sorry, I cannot', 'execution.bad_output'],
  ])('by %j with the text %j ends as %s', (success, text, error) => {
    expect(codeOf({ success }, [text])).toBe(error);
    expect(run({ success }, [text]).verdict.text).toBe(text);
  });

  it.each([
    ['{"text":"a","ok":true}', null],
    ['{"text":"a","ok":"true"}', 'execution.bad_output'],
    ['{"text":"a"}', 'execution.bad_output'],
  ])('by a value of the document %s ends as %s', (line, error) => {
    const settings = { output: { json: '/text' }, success: { json: { pointer: '/ok', equals: true } } };
    expect(codeOf(settings, [line])).toBe(error);
  });

  it('by a value of JSON lines is decided by the last one that has it', () => {
    const settings = {
      output: { ndjson: { text: '/t' } },
      success: { json: { pointer: '/s', equals: 'ok' } },
    };
    expect(codeOf(settings, ['{"s":"working"}', '{"s":"ok"}', '{"t":"a"}'])).toBeNull();
    expect(codeOf(settings, ['{"s":"ok"}', '{"t":"a","s":"failed"}'])).toBe('execution.bad_output');
  });
});

describe('the JSON lines of a custom command', () => {
  it('tell of tools', () => {
    const ndjson = { text: '/t', toolName: '/tool/name', toolId: '/tool/id', toolInput: '/tool/input' };
    const lines = ['{"tool":{"name":"grep","id":"t7","input":{"for":"x"}}}', '{"tool":{"name":"ls"}}'];
    expect(run({ output: { ndjson } }, lines).events).toEqual([
      { kind: 'tool.started', toolId: 't7', name: 'grep', input: { for: 'x' } },
      { kind: 'tool.started', toolId: 'tool-2', name: 'ls', input: null },
    ]);
  });

  it('report tokens and cost, the last value counts', () => {
    const cache = { cacheReadTokens: '/read', cacheWriteTokens: '/write' };
    const ndjson = { text: '/t', inputTokens: '/in', outputTokens: '/out', costUsd: '/usd', ...cache };
    const { events, verdict, progress } = run({ output: { ndjson } }, [
      '{"in":10,"out":1}',
      '{"out":20,"usd":0.5,"read":7,"t":"a"}',
      '{"in":"many","out":-1}',
    ]);
    const usage = { inputTokens: 10, outputTokens: 20, cacheReadTokens: 7, cacheWriteTokens: 0 };
    expect(verdict.usage).toEqual({ ...usage, costUsd: 0.5, costBasis: 'reported' });
    expect(progress.usage).toEqual(verdict.usage);
    expect(events.map(({ kind }) => kind)).toEqual(['usage', 'usage', 'text.delta', 'raw']);
    expect(events[0]).toMatchObject({ usage: { outputTokens: 1, costUsd: null, costBasis: 'unknown' } });
  });

  it('fail the run with the error they report, with any exit code', () => {
    const { events, verdict } = run({ output: { ndjson: { text: '/t', error: '/error/message' } } }, [
      '{"t":"half"}',
      '{"error":{"message":"the model is gone"}}',
    ]);
    expect(verdict).toMatchObject({
      text: 'half',
      error: { code: 'execution.crashed', message: 'the model is gone' },
    });
    expect(events).toContainEqual({ kind: 'warning', code: 'error', message: 'the model is gone' });
  });
});
