import { AppError } from '../errors.ts';
import { createClaudeProvider } from './claude/provider.ts';
import { createCustomProvider } from './custom/provider.ts';
import type { Provider } from './provider.ts';
import type { ProviderSettings } from './settings.ts';

/** A provider and the binary the settings name for it; null: one of `provider.binaries`, looked up on PATH. */
export interface RegisteredProvider {
  readonly provider: Provider;
  readonly binary: string | null;
}

/** Every provider this server has, by name. */
export interface Providers {
  /** @throws AppError provider.unknown, naming the known ones */
  get(name: string): RegisteredProvider;
  /** In the order of registration. */
  list(): readonly RegisteredProvider[];
}

/** What the host allows a CLI; decided once at start-up. */
export interface ProviderHost {
  readonly runningAsRoot: boolean;
  /** Whether the operator says that this is a sandbox (IS_SANDBOX=1): root may then skip permissions. */
  readonly sandboxMarker: boolean;
}

/**
 * Builds the providers the settings describe.
 * @throws AppError config.invalid when a custom provider takes a built-in one's name
 */
export function createProviders(settings: ProviderSettings, host: ProviderHost): Providers {
  const { binary, args, maxRetries } = settings.claude;
  const claude = createClaudeProvider({ defaultArgs: args, maxRetries, ...host });
  const registered = new Map<string, RegisteredProvider>([[claude.name, { provider: claude, binary }]]);
  for (const [name, custom] of Object.entries(settings.custom)) {
    if (registered.has(name)) {
      throw new AppError(
        'config.invalid',
        `providers.custom.${name}: the name belongs to a built-in provider`,
      );
    }
    const provider = createCustomProvider({ name, ...custom });
    registered.set(name, { provider, binary: custom.binary });
  }
  return {
    get(name) {
      const found = registered.get(name);
      if (found !== undefined) return found;
      const known = [...registered.keys()].join(', ');
      throw new AppError('provider.unknown', `there is no provider ${JSON.stringify(name)}; known: ${known}`);
    },
    list: () => [...registered.values()],
  };
}
