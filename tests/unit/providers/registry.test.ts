import { describe, expect, it } from 'vitest';
import { Compile } from '#typebox/compile';
import { Value } from '#typebox/value';
import { ProviderSettings } from '../../../src/protocol/provider-settings.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { PROVIDER_HOST } from './settings.ts';

const checker = Compile(ProviderSettings);

function settings(value: unknown): ProviderSettings {
  const complete: unknown = Value.Default(ProviderSettings, value);
  if (!checker.Check(complete)) throw new Error('the settings of the test are wrong');
  return complete;
}

describe('the providers', () => {
  it('hold claude without any settings', () => {
    const { provider, binary } = createProviders(settings({}), PROVIDER_HOST).get('claude');
    expect(provider.name).toBe('claude');
    expect(provider.binaries).toEqual(['claude']);
    expect(binary).toBeNull();
  });

  it('hold the custom commands of the settings', () => {
    const providers = createProviders(settings({ custom: { echo: { binary: '/bin/cat' } } }), PROVIDER_HOST);
    const names = providers.list().map(({ provider }) => provider.name);
    expect([names[0], names.at(-1)]).toEqual(['claude', 'echo']);
    expect(providers.get('echo').binary).toBe('/bin/cat');
  });

  it('are found by their former names, unless a command has one of these', () => {
    const providers = createProviders(
      settings({ custom: { 'codex-cli': { binary: 'cat' } } }),
      PROVIDER_HOST,
    );
    expect(providers.get('claude-cli').provider.name).toBe('claude');
    expect(providers.get('cursor-cli').provider.name).toBe('cursor-agent');
    expect(providers.get('codex-cli').provider.name).toBe('codex-cli');
  });

  it.each(['copilot', '', '__proto__', 'constructor'])('do not know %j and name the known ones', (name) => {
    const providers = createProviders(settings({ custom: { echo: { binary: 'cat' } } }), PROVIDER_HOST);
    expect(() => providers.get(name)).toThrow(
      expect.objectContaining({
        code: 'provider.unknown',
        message: expect.stringMatching(/known: claude, .*echo$/),
      }),
    );
  });

  it('keep the names of built-in providers', () => {
    expect(() => createProviders(settings({ custom: { claude: { binary: 'cat' } } }), PROVIDER_HOST)).toThrow(
      expect.objectContaining({ code: 'config.invalid' }),
    );
  });

  it.each([
    { other: {} },
    { claude: { flags: [] } },
    { claude: { maxRetries: -1 } },
    { custom: { Echo: { binary: 'cat' } } },
    { custom: { echo: {} } },
    { custom: { echo: { binary: 'cat', output: { json: 'text' } } } },
    { custom: { echo: { binary: 'cat', env: ['A=B'] } } },
  ])('refuse settings like %j', (value) => {
    expect(checker.Check(Value.Default(ProviderSettings, value))).toBe(false);
  });
});
