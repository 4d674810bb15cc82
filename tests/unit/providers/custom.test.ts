import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../../src/protocol/prompt.ts';
import type { CustomOutput, CustomSettings } from '../../../src/protocol/provider-settings.ts';
import { createCustomProvider } from '../../../src/providers/custom/provider.ts';
import type { Provider, Verdict } from '../../../src/providers/provider.ts';

const custom = (changed: Partial<CustomSettings> = {}): Provider =>
  createCustomProvider({
    name: 'own',
    binary: 'own',
    args: [],
    stdin: true,
    warmStart: false,
    env: [],
    versionArgs: [],
    output: 'text',
    success: { exitCodes: [0], pattern: null, failurePattern: null, json: null },
    ...changed,
  });
const context = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
const run = (output: CustomOutput, lines: readonly string[], code = 0): Verdict & { kinds: string } => {
  const translator = custom({ output }).translator(resolvedPrompt());
  const kinds = lines.flatMap((line) => translator.line(line)).map(({ kind }) => kind);
  return { ...translator.end({ code, signal: null }, 'it broke'), kinds: kinds.join(' ') };
};

describe('the command of a custom provider', () => {
  it('fills in what the job asks and leaves out what it does not', () => {
    const provider = custom({ args: ['run', '--model={{model}}', '--effort={{ effort }}'] });
    const { args } = provider.command(resolvedPrompt({ model: 'big/1' }), context);
    expect(args).toEqual(['run', '--model=big/1']);
    expect(provider.capabilities).toMatchObject({ model: true, effort: true });
  });

  it('never holds the prompt', () => {
    expect(() => custom({ args: ['{{prompt}}'] })).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
    const { args, stdin } = custom({ args: ['{{model}}'] }).command(
      resolvedPrompt({ prompt: '$(id)', model: '{{prompt}}' }),
      context,
    );
    expect(args).toEqual(['{{prompt}}']);
    expect(stdin).toBe('$(id)');
  });
});

describe('a custom provider', () => {
  const cases: Partial<ResolvedPrompt>[] = [
    { model: 'm' },
    { effort: 'low' },
    { sessionId: '01J' },
    { permissionMode: 'plan' },
    { allowedTools: ['Read'] },
    { disallowedTools: ['Read'] },
    { onPermissionDenied: 'fail' },
    { appendSystemPrompt: 'x' },
    { outputSchema: {} },
    { maxTurns: 1 },
    { maxCostUsd: 1 },
    { providerOptions: { a: 1 } },
  ];
  it.each(cases)('refuses %j', (changed) => {
    const refused = custom().unsupported(resolvedPrompt(changed));
    expect(refused.map(({ option }) => option)).toEqual(Object.keys(changed));
  });

  it('refuses a value that could be read as a flag', () => {
    const provider = custom({ args: ['{{model}}'] });
    expect(provider.unsupported(resolvedPrompt({ model: 'm' }))).toEqual([]);
    expect(provider.unsupported(resolvedPrompt({ model: '--evil' }))).toHaveLength(1);
  });

  it('takes all of stdout as the answer', () => {
    expect(run('text', ['one', '', '{"two":2}'])).toMatchObject({
      kinds: 'text.delta text.delta text.delta',
      text: 'one\n\n{"two":2}',
      error: null,
    });
    expect(run('text', [])).toMatchObject({ text: '', error: null });
  });

  it('is done only when the process has ended', () => {
    const translator = custom().translator(resolvedPrompt());
    translator.line('the answer');
    expect(translator.done).toBe(false);
  });

  it('fails by the exit code, with the text it has', () => {
    expect(run('text', ['half'], 3)).toMatchObject({
      text: 'half',
      error: { code: 'execution.crashed', message: 'own exited with code 3: it broke' },
    });
    const killed = custom().translator(resolvedPrompt()).end({ code: null, signal: 'SIGKILL' }, '');
    expect(killed.error?.message).toBe('own was killed by SIGKILL');
  });

  it('finds the text in one JSON document of several lines', () => {
    const output = { json: '/answers/0/a~1b' };
    expect(run(output, ['{"answers":[', '{"a/b":"yes"}]}'])).toMatchObject({ text: 'yes', error: null });
    expect(run({ json: '' }, ['{"a":1}'])).toMatchObject({ text: '{"a":1}', error: null });
  });

  it.each([['{"other":1}'], ['not JSON'], ['']])('has no usable output when the document is %j', (line) => {
    expect(run({ json: '/answer' }, [line]).error?.code).toBe('execution.bad_output');
    expect(run({ json: '/constructor' }, [line]).error?.code).toBe('execution.bad_output');
  });

  it('joins the pieces of JSON lines and reports the session', () => {
    const lines = ['{"id":"s1"}', '{"id":"s1","t":"He"}', 'noise', '{"t":"llo"}'];
    expect(run({ ndjson: { text: '/t', session: '/id' } }, lines)).toMatchObject({
      kinds: 'session text.delta raw text.delta',
      text: 'Hello',
      nativeSessionId: 's1',
      error: null,
    });
    expect(run({ ndjson: { text: '/t' } }, ['{"x":1}']).error?.code).toBe('execution.bad_output');
  });
});
