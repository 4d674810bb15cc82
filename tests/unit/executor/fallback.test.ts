import { expect, it } from 'vitest';
import { resolvedPrompt } from '../../../scripts/offline-model/resolved-prompt.ts';
import { AppError } from '../../../src/errors.ts';
import { fallbackFor } from '../../../src/executor/fallback.ts';
import { createProviders } from '../../../src/providers/registry.ts';
import { createPricing } from '../../../src/usage/pricing.ts';

import { PROVIDER_HOST, providerSettings } from '../providers/settings.ts';

const MISSING = new AppError('execution.cli_missing', 'it is not installed');
const custom = { plain: { binary: '/bin/cat' }, any: { binary: '/bin/cat', args: ['{{model}}'] } };

/** The model that the fallback runs for a job of claude that asks for opus. */
function modelOn(fallback: string, settings: Record<string, unknown> = {}): string | null {
  const providers = createProviders(
    providerSettings({ claude: { fallback }, custom, ...settings }),
    PROVIDER_HOST,
  );
  const request = resolvedPrompt({ provider: 'claude', model: 'opus', permissionMode: 'default' });
  return fallbackFor(providers.get('claude'), request, providers, MISSING, createPricing({})).request.model;
}

it.each([
  ['anthropic-sdk', 'opus'],
  ['any', 'opus'],
  ['plain', null],
  ['codex', null],
  ['gemini', null],
])('a job that asks for opus runs on %s with the model %s', (fallback, model) => {
  expect(modelOn(fallback)).toBe(model);
});

it('a fallback that does not know the model runs the default model of its settings', () => {
  expect(modelOn('codex', { codex: { model: 'gpt-5.1-codex' } })).toBe('gpt-5.1-codex');
  expect(modelOn('anthropic-sdk', { 'anthropic-sdk': { model: 'claude-haiku-4-5' } })).toBe('opus');
});
