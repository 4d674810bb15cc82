import { Value } from '#typebox/value';
import { ProviderSettings } from '../../../src/protocol/provider-settings.ts';
import type { BuiltInOptions, ProviderHost } from '../../../src/providers/built-in.ts';

/** The providers' settings with every default, and these changes in a file. */
export const providerSettings = (file: Record<string, unknown> = {}): ProviderSettings =>
  Value.Parse(ProviderSettings, Value.Default(ProviderSettings, structuredClone(file)));

/** A host whose user is not root. */
export const PROVIDER_HOST: ProviderHost = {
  runningAsRoot: false,
  sandboxMarker: false,
  sdkRunner: { node: '/usr/bin/node', script: '/bullpen/anthropic-runner/main.js' },
};

/** A built-in provider as the defaults make it, for a user who is not root. */
export const builtInOptions = (changed: Partial<BuiltInOptions> = {}): BuiltInOptions => ({
  args: [],
  modes: {},
  maxRetries: null,
  ...PROVIDER_HOST,
  ...changed,
});
