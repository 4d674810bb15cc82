/** Names of this node's logins: from the settings, the account, or a hash of what is known. */
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import type { Login } from '../providers/provider.ts';
import type { Providers } from '../providers/registry.ts';
import type { Gates } from '../records/gate-records.ts';

export interface LoginNames {
  /** By provider. */
  all(): Readonly<Record<string, string>>;
  of(provider: string): string;
  /**
   * The name of a credential now: its account may have become known while it was used.
   * @param reported the account that the CLI has reported; null: none
   */
  rename(provider: string, credential: string, reported: string | null): Promise<string>;
}

export function createLoginNames({
  gates,
  providers,
  environment,
  nodeId,
  key,
  accounts,
}: {
  readonly gates: Pick<Gates, 'identify'>;
  readonly providers: Pick<Providers, 'list'>;
  /** The environment of a provider's CLI, as its jobs have it. */
  environment(provider: string, set: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
  readonly nodeId: string;
  /** Of the HMAC in names, the same for all nodes. */
  readonly key: string;
  /** As {@link Gates} knows them at the start. */
  readonly accounts: ReadonlyMap<string, string>;
}): LoginNames {
  /** Names without an account, and names now. */
  const first = new Map<string, string>();
  const names = new Map<string, string>();
  const configured = new Set<string>();
  for (const { provider, defaults } of providers.list()) {
    const { name, login } = provider;
    const use = { provider: name, login, env: environment(name, {}), configured: defaults.credential };
    const own = credentialName(use, { nodeId, key });
    const account = accounts.get(own);
    const isKnown = account?.startsWith(`${name}:account-`) === true && defaults.credential === null;
    first.set(name, own);
    names.set(name, isKnown ? account : own);
    if (defaults.credential !== null) configured.add(name);
  }

  return {
    all: () => Object.fromEntries(names),
    of: (provider) => names.get(provider) ?? provider,
    async rename(provider, credential, reported) {
      const own = first.get(provider);
      if (own === undefined || configured.has(provider)) return credential;
      if (reported === null) return credential === own ? (names.get(provider) ?? own) : credential;
      const account = `${provider}:account-${hashOf(`${provider} account ${reported}`, key)}`;
      if (names.get(provider) === account) return account;
      const credentials = { ...Object.fromEntries(names), [provider]: account };
      await gates.identify({ node: nodeId, name: own, account, credentials });
      names.set(provider, account);
      return account;
    },
  };
}

/** A provider's login, as far as it is known without starting the CLI. */
export interface LoginUse {
  readonly provider: string;
  readonly login: Pick<Login, 'variables' | 'files'>;
  /** The environment of the provider's jobs. */
  readonly env: Readonly<Record<string, string>>;
  /** Its name in the settings. */
  readonly configured: string | null;
}

const hashOf = (text: string, key: string): string =>
  createHmac('sha256', key).update(text).digest('hex').slice(0, 12);

/**
 * Names a credential whose account is not known. The same login has the same name on every node,
 * as far as that can be known: the configured name (`claude:work`), else a hash of the key, else
 * one of the node and the folder that holds the login. The hash has a key, and reveals nothing.
 */
export function credentialName(
  { provider, login, env, configured }: LoginUse,
  { key, nodeId }: { readonly key: string; readonly nodeId: string },
): string {
  if (configured !== null) return `${provider}:${configured}`;
  const values = login.variables.map((variable) => env[variable] ?? '');
  const folders = login.files.map(({ variable, home }) => {
    const own = variable === null ? '' : (env[variable] ?? '');
    return own === '' ? join(env['HOME'] ?? '', home) : own;
  });
  const hasKey = values.some((value) => value !== '');
  const identity = JSON.stringify(hasKey ? values : [nodeId, ...folders]);
  return `${provider}:${hasKey ? 'key' : 'login'}-${hashOf(`${provider} ${identity}`, key)}`;
}
