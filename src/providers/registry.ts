import { AppError } from '../errors.ts';
import type { PermissionMode } from '../protocol/prompt.ts';
import {
  type BuiltInSettings,
  FORMER_PROVIDERS,
  type JobDefaults,
  type ProviderSettings,
} from '../protocol/provider-settings.ts';
import { createAnthropicProvider } from './anthropic-sdk/provider.ts';
import type { BuiltInOptions, ProviderHost } from './built-in.ts';
import { createClaudeProvider } from './claude/provider.ts';
import { createCodexProvider } from './codex/provider.ts';
import { createCursorProvider } from './cursor/provider.ts';
import { createCustomProvider } from './custom/provider.ts';
import { createGeminiProvider } from './gemini/provider.ts';
import type { Provider } from './provider.ts';

/** A provider and its settings. */
export interface RegisteredProvider {
  readonly provider: Provider;
  /** null: one of `provider.binaries`, looked up on PATH. */
  readonly binary: string | null;
  /** For options that a job leaves out. */
  readonly defaults: JobDefaults & { readonly mode: PermissionMode };
  /** Name of the provider that runs a job when this CLI cannot be started. */
  readonly fallback: string | null;
  /** Part of a usage limit that is kept from jobs with a negative priority; null: none is. */
  readonly quotaReserve: number | null;
}

/** Every provider this server has, by name. */
export interface Providers {
  /**
   * Also by a former name, like claude-cli.
   * @throws AppError provider.unknown, naming the known ones
   */
  get(name: string): RegisteredProvider;
  /** In the order of registration. */
  list(): readonly RegisteredProvider[];
}

type BuiltIn = Exclude<keyof ProviderSettings, 'custom'>;
type Create = (options: BuiltInOptions, settings: ProviderSettings) => Provider;

const BUILT_IN: Record<BuiltIn, Create> = {
  claude: createClaudeProvider,
  codex: (options, { codex: { transport } }) => createCodexProvider({ ...options, transport }),
  gemini: createGeminiProvider,
  'cursor-agent': createCursorProvider,
  'anthropic-sdk': createAnthropicProvider,
};

/**
 * Builds the providers the settings describe.
 * @throws AppError config.invalid when a custom provider takes a built-in one's name, or a
 * fallback is unknown
 */
export function createProviders(settings: ProviderSettings, host: ProviderHost): Providers {
  const registered = new Map<string, RegisteredProvider>();
  for (const [name, create] of Object.entries(BUILT_IN)) {
    const own = settings[name as BuiltIn]; // `as`: the keys of BUILT_IN
    const { args, modes, maxRetries } = own;
    const { runningAsRoot, sandboxMarker, sdkRunner } = host;
    const options = { args, modes, maxRetries, runningAsRoot, sandboxMarker, sdkRunner };
    registered.set(name, builtIn(create(options, settings), own));
  }
  for (const [name, custom] of Object.entries(settings.custom)) {
    if (registered.has(name)) {
      throw new AppError(
        'config.invalid',
        `providers.custom.${name}: the name belongs to a built-in provider`,
      );
    }
    const provider = createCustomProvider({ name, ...custom });
    const defaults = { ...custom, mode: 'default' as const };
    registered.set(name, { provider, binary: custom.binary, defaults, fallback: null, quotaReserve: null });
  }
  for (const [name, { fallback }] of registered) {
    if (fallback === null || (fallback !== name && registered.has(fallback))) continue;
    throw new AppError(
      'config.invalid',
      `providers.${name}.fallback: there is no other provider ${fallback}`,
    );
  }
  return {
    get(name) {
      const found = registered.get(name) ?? registered.get(FORMER_PROVIDERS.get(name) ?? '');
      if (found !== undefined) return found;
      const known = [...registered.keys()].join(', ');
      throw new AppError('provider.unknown', `there is no provider ${JSON.stringify(name)}; known: ${known}`);
    },
    list: () => [...registered.values()],
  };
}

const builtIn = (provider: Provider, settings: BuiltInSettings): RegisteredProvider => ({
  provider: { ...provider, envNames: [...provider.envNames, ...settings.env] },
  binary: settings.binary,
  defaults: settings,
  fallback: settings.fallback,
  quotaReserve: settings.quotaReserve,
});
