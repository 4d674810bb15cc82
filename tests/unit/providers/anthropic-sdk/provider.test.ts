import { describe, expect, it } from 'vitest';
import { resolvedPrompt } from '../../../../scripts/offline-model/resolved-prompt.ts';
import type { ResolvedPrompt } from '../../../../src/protocol/prompt.ts';
import { createAnthropicProvider } from '../../../../src/providers/anthropic-sdk/provider.ts';
import { builtInOptions, PROVIDER_HOST } from '../settings.ts';

const CONTEXT = { nativeSessionId: null, trustedWorkspace: false, scratchDir: '/scratch' };
const provider = createAnthropicProvider(builtInOptions());

describe('the command of anthropic-sdk', () => {
  it('is the runner with everything in one document on stdin', () => {
    const { args, stdin, env } = provider.command(resolvedPrompt({ prompt: 'Hi' }), CONTEXT);
    expect(provider.binaries).toEqual([PROVIDER_HOST.sdkRunner.node]);
    expect([args, env]).toEqual([[PROVIDER_HOST.sdkRunner.script], {}]);
    expect(JSON.parse(stdin)).toEqual({
      prompt: 'Hi',
      system: null,
      model: 'claude-sonnet-5-5',
      maxTokens: 32_000,
      maxRetries: 2,
      outputSchema: null,
    });
  });

  it('says what the job and the settings ask', () => {
    const own = createAnthropicProvider(builtInOptions({ args: ['--use-system-ca'], maxRetries: 0 }));
    const request = resolvedPrompt({
      model: 'claude-haiku-4-5',
      appendSystemPrompt: 'Be brief.',
      outputSchema: { type: 'object' },
      providerOptions: { maxTokens: 100 },
    });
    const { args, stdin } = own.command(request, CONTEXT);
    expect(args).toEqual(['--use-system-ca', PROVIDER_HOST.sdkRunner.script]);
    expect(JSON.parse(stdin)).toMatchObject({
      system: 'Be brief.',
      model: 'claude-haiku-4-5',
      maxTokens: 100,
      maxRetries: 0,
      outputSchema: { type: 'object' },
    });
  });
});

describe('the anthropic-sdk provider', () => {
  it.each<Partial<ResolvedPrompt>>([
    { permissionMode: 'plan' },
    { permissionMode: 'fullAccess' },
    { sessionId: '01J' },
    { effort: 'low' },
    { allowedTools: ['Read'] },
    { disallowedTools: ['Read'] },
  ])('refuses %j', (changed) => {
    const refused = provider.unsupported(resolvedPrompt(changed));
    expect(refused.map(({ option }) => option)).toEqual(Object.keys(changed));
  });

  it.each([{ temperature: 1 }, { maxTokens: 0 }, { maxTokens: '9' }])('refuses the option %j', (given) => {
    const request = resolvedPrompt({ providerOptions: given });
    const names = Object.keys(given).map((name) => `providerOptions.${name}`);
    expect(provider.unsupported(request).map(({ option }) => option)).toEqual(names);
    expect(() => provider.command(request, CONTEXT)).toThrow(
      expect.objectContaining({ code: 'provider.unsupported_option' }),
    );
  });

  it('takes what one question to the API can have', () => {
    const request = resolvedPrompt({ model: 'm', appendSystemPrompt: 'x', outputSchema: {}, maxTurns: 3 });
    expect(provider.unsupported(request)).toEqual([]);
  });

  it('sees the key, the token and the address only', () => {
    expect(provider.envNames).toEqual(['ANTHROPIC_API_KEY', 'ANTHROPIC_AUTH_TOKEN', 'ANTHROPIC_BASE_URL']);
  });
});
