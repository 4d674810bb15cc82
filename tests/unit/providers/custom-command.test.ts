import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { createCustomProvider } from '../../../src/providers/custom/provider.ts';
import type { Command, Provider } from '../../../src/providers/provider.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { PROVIDER_HOST, providerSettings } from './settings.ts';

/** A custom provider as a settings file describes it. */
const custom = (settings: Record<string, unknown>): Provider =>
  createProviders(providerSettings({ custom: { own: { binary: 'own', ...settings } } }), PROVIDER_HOST).get(
    'own',
  ).provider;

const commandOf = (args: readonly string[], nativeSessionId: string | null = null): Command =>
  custom({ args }).command(resolvedPrompt({ prompt: 'the prompt', cwd: '/work' }), {
    nativeSessionId,
    trustedWorkspace: false,
    scratchDir: '/scratch',
  });

const invalid = (setting: string) =>
  expect.objectContaining({
    code: 'config.invalid',
    message: expect.stringContaining(`providers.custom.own.${setting}:`),
  });

describe('the prompt of a custom command', () => {
  it('is in a file of the scratch folder where an argument names it', () => {
    const command = custom({ stdin: false, args: ['--file={{promptFile}}'] }).command(
      resolvedPrompt({ prompt: 'the prompt' }),
      { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' },
    );
    expect(command).toEqual({
      args: ['--file=/scratch/prompt.txt'],
      stdin: '',
      env: {},
      files: { 'prompt.txt': 'the prompt' },
    });
  });

  it('is on stdin as well unless the settings say otherwise', () => {
    expect(commandOf(['{{promptFile}}']).stdin).toBe('the prompt');
    expect(commandOf([]).files).toBeUndefined();
  });

  it('must reach the command in one way', () => {
    expect(() => custom({ stdin: false, args: ['run'] })).toThrow(invalid('stdin'));
  });
});

describe('an argument of a custom command', () => {
  it('can hold the working directory', () => {
    expect(commandOf(['--dir', '{{cwd}}']).args).toEqual(['--dir', '/work']);
  });

  it('holds the session when there is one to resume', () => {
    expect(commandOf(['run', '--resume={{sessionId}}'], 's1').args).toEqual(['run', '--resume=s1']);
    expect(commandOf(['run', '--resume={{sessionId}}']).args).toEqual(['run']);
  });

  it('holds no session that could be read as a flag', () => {
    expect(() => commandOf(['{{sessionId}}'], '--evil')).toThrow(
      expect.objectContaining({ code: 'execution.invalid_request' }),
    );
  });
});

describe('a custom provider', () => {
  const RESUME = ['--resume={{sessionId}}'];
  const WITH_SESSION = { ndjson: { text: '/t', session: '/id' } };

  it.each([
    [RESUME, WITH_SESSION, true],
    [[], WITH_SESSION, false],
    [RESUME, { ndjson: { text: '/t' } }, false],
    [RESUME, 'text', false],
  ])('with the arguments %j and the output %j can resume: %s', (args, output, resume) => {
    const provider = custom({ args, output });
    expect(provider.capabilities.resume).toBe(resume);
    const refused = provider.unsupported(resolvedPrompt({ sessionId: '01J' }));
    expect(refused.map(({ option }) => option)).toEqual(resume ? [] : ['sessionId']);
  });

  it.each([
    ['success.pattern', { success: { pattern: '(' } }],
    ['success.failurePattern', { success: { failurePattern: '[' } }],
    ['success.json', { success: { json: { pointer: '/ok', equals: true } } }],
    ['args', { args: ['{{home}}'] }],
  ])('is refused at the start when %s cannot work', (setting, settings) => {
    expect(() => custom(settings)).toThrow(invalid(setting));
  });

  it('needs nothing but a binary', () => {
    expect(custom({}).unsupported(resolvedPrompt())).toEqual([]);
    const success = { exitCodes: [0], pattern: null, failurePattern: null, json: null };
    const options = {
      name: 'own',
      binary: 'own',
      args: [],
      stdin: true,
      warmStart: false,
      env: [],
      versionArgs: [],
    };
    const written = createCustomProvider({ ...options, output: 'text', success });
    expect(written.capabilities).toEqual(custom({}).capabilities);
  });
});
